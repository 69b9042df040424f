"""Servers for `esb demo`: empty of earlier demos, and certainly of nobody else's messages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from esb.broker import open_broker
from esb.errors import EsbError
from esb.store import open_store
from esb.worker.topology import topology

if TYPE_CHECKING:
    from esb.broker.port import Broker, Topology
    from esb.config import Definition
    from esb.store import Store


def make_fresh(definition: Definition) -> None:
    """Make tables and queues as a first demo finds them. Embedded ones are: their directory is new each time.

    Raises ``EsbError`` when a server holds something that is not an earlier demo's, or a demo runs on it now.
    """
    ours = False
    if definition.config.database != "embedded":
        with closing(open_store(definition.config.database, definition.data_directory)) as store:
            ours = _left_by_a_demo(store, definition)
            if ours:
                store.downgrade("base")
            store.migrate()
    if definition.config.broker != "embedded":
        with closing(open_broker(definition.config.broker, definition.data_directory)) as broker:
            _empty_queues(broker, topology(definition), ours)


def _left_by_a_demo(store: Store, definition: Definition) -> bool:
    """Whether the database holds an earlier demo (True) or nothing at all; anything else is refused."""
    current, head = store.revision()
    if not current:
        return False
    if current != head:
        raise EsbError(f"the database {store.name} belongs to another version: give the demo one of its own")
    with store.reading() as t:
        active, accepted = t.definitions.active(), t.tracking.ledger().accepted
        running = [name for name in definition.endpoints if t.leases.holder(f"poll {name}")]
    if active is None and not accepted:
        return False
    if active is None or active.files.get("esb.yaml") != definition.files["esb.yaml"]:
        raise EsbError(f"the database {store.name} holds another bus: give the demo one of its own")
    if running:
        raise EsbError(
            f"a demo runs on the database {store.name}, or was killed seconds ago: stop it, or wait a little"
        )
    return True


def _empty_queues(broker: Broker, wanted: Topology, ours: bool) -> None:
    names = [queue.name for queue in wanted.queues]
    waiting = sum(depth.ready for name, depth in broker.depths(names).items() if name in names)
    if waiting and not ours:
        raise EsbError(
            f"{waiting} messages wait in the broker's queues {names[0]} …, and no earlier demo is in the database: "
            "give the demo a virtual host of its own, or delete these queues"
        )
    broker.declare(wanted)  # also tells the broker which delays to count
    for name in names:
        broker.purge(name)
    if broker.depths(names)["delayed"].ready:
        longest = max(wanted.delays)
        raise EsbError(f"messages wait in the broker's delay queues: try again in {longest:.0f} s at the latest")


def definition_of(place: Path, environ: dict[str, str]) -> Definition:
    """The demo's directory as laid out, under the environment that its systems need."""
    from esb.config import load
    from esb.discovery import discover

    return load(place, discover(), environ=environ)
