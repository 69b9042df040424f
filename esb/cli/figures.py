"""Live figures for the listings: queue depths, breakers, the ledger; as much of it as can be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from esb.broker import open_broker
from esb.broker.port import Depth
from esb.errors import EsbError
from esb.store import BreakerRow, Ledger, Pause, Probe, open_store

if TYPE_CHECKING:
    from esb.config import Definition


class Figures(msgspec.Struct):
    """What could be had: queue depths; breakers, pauses and last probes by endpoint; sagas by name and state."""

    depths: Mapping[str, Depth] = {}
    breakers: Mapping[str, BreakerRow] = {}
    pauses: Mapping[str, Pause] = {}
    probes: Mapping[str, Probe] = {}
    sagas: Mapping[tuple[str, str], int] = {}
    ledger: Ledger | None = None

    def waiting(self, *queues: str) -> int:
        """Messages ready in queues."""
        return sum(self.depths[queue].ready for queue in queues if queue in self.depths)


def figures(definition: Definition, queues: Sequence[str]) -> Figures:
    """Ask broker and store. What is not there yet, or down, is said on stderr and left out."""
    found = Figures()
    data = definition.data_directory
    if there(definition.config.broker, data / "broker.db"):
        with said("no queue depths"), closing(open_broker(definition.config.broker, data)) as broker:
            found.depths = broker.depths(queues)
    if there(definition.config.database, data / "store.db"):
        with said("no figures"), closing(open_store(definition.config.database, data)) as store:
            store.require_current()
            with store.reading() as t:
                found.breakers, found.pauses, found.probes = t.breakers.read_all(), t.pauses.all(), t.probes.all()
                found.sagas, found.ledger = t.sagas.counts(), t.tracking.ledger()
    else:
        click.secho("no figures yet: the bus has not run here", fg="yellow", err=True)
    return found


def there(url: str, file: Path) -> bool:
    """Looking must not make an embedded broker or store."""
    return url != "embedded" or file.exists()


@contextmanager
def said(what: str) -> Iterator[None]:
    """What is missing, and why, becomes a line on stderr."""
    try:
        yield
    except EsbError as error:
        click.secho(f"{what}: {error}", fg="yellow", err=True)
