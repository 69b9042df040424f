"""`esb send`: put something into the bus by hand, the same way that an adapter's arrivals go."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from esb.cli.common import (
    FAILED,
    complain,
    directory,
    json_output,
    load,
    other_environments,
    print_json,
    require_store,
    told,
    unknown,
)
from esb.cli.synthetic import send_test

if TYPE_CHECKING:
    from esb.broker.port import Outgoing
    from esb.bus import Bus
    from esb.config import Definition
    from esb.store import Hop, Store

PATIENCE = 30.0  # seconds to wait for a journey to settle


@click.command("send")
@directory
@click.argument("target")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--test", is_flag=True, help="TARGET is a flow: send its test message.")
@click.option("--wait", is_flag=True, help="Wait until it has settled (30 s at the most), and show its journey.")
@json_output
@told
def command(
    root: str, env: str | None, target: str, file: BinaryIO, test: bool, wait: bool, as_json: bool
) -> None:  # fmt: skip
    """Send FILE (or standard input) to TARGET: a receiving endpoint, or an event such as order.placed/v1.

    For an endpoint the bytes are in its own format, and are read, checked and routed as if they had come through
    its adapter. For an event they are a JSON document, checked against its contract. With --wait the exit code is 1
    when something of it was parked, or is still under way.

    With --test, TARGET is a flow that has a test message, which is sent; --wait then waits until it has come to its
    end, as long as the flow says, and the exit code is 1 when it fails.
    """
    from esb.bus import Bus

    definition, components = load(root, env)
    require_store(Path(definition.root), definition.config, env)
    if test:
        return send_test(definition, components, target, wait, as_json)
    _require_broker(definition, env)
    bus = Bus(definition, components)
    try:
        outgoing = _event(bus, target, file.read()) if "/" in target else _command(bus, target, file.read())
        _publish(bus, outgoing, target)
        if wait:
            _follow(bus.store, outgoing.message.id, as_json)
        else:
            _tell(outgoing.message.id, as_json)
    finally:
        bus.close()
    return None


def _require_broker(definition: Definition, env: str | None) -> None:
    """Where no bus ever ran, sending would make a second one, whose messages the one that is meant never sees."""
    from esb.errors import BrokerError

    data = definition.data_directory
    if definition.config.broker == "embedded" and not (data / "broker.db").exists():
        hint = other_environments(Path(definition.root), env)
        raise BrokerError(f"nothing was sent: no bus has run in {data} yet: start it with `esb run`{hint}")


def _publish(bus: Bus, outgoing: Outgoing, target: str) -> None:
    """Confirmed by the broker, or an error. Servers on which no bus ran yet are made ready first; one that runs is
    left alone."""
    from esb.broker.port import Outcome

    if not _activated(bus.store):
        bus.prepare()
    full = bus.context.pressure(target)
    if full:
        complain(f"nothing was sent to {target}: {full} (backlog)")
        sys.exit(FAILED)
    publisher = bus.broker.publisher("esb send")
    try:
        [outcome] = publisher.publish([outgoing])
    finally:
        publisher.close()
    if outcome is Outcome.CONFIRMED:
        return
    why = (
        "no flow and no saga subscribes to it"
        if outgoing.event
        else "it has no queue yet: start the bus with `esb run`"
    )
    complain(f"nothing was sent to {target}: {'its queue is full' if outcome is Outcome.REFUSED else why}")
    sys.exit(FAILED)


def _activated(store: Store) -> bool:
    from esb.errors import StoreDown, StoreError

    try:
        store.require_current()
    except StoreDown:
        raise
    except StoreError:
        return False
    with store.reading() as t:
        return bool(t.definitions.active_hash())


def _command(bus: Bus, target: str, body: bytes) -> Outgoing:
    from esb.broker.port import Outgoing, inbound_queue
    from esb.message import create

    endpoint = bus.definition.endpoints.get(target)
    if endpoint is None or endpoint.receive is None:
        unknown("receiving endpoint", target, (e.name for e in bus.definition.endpoints.values() if e.receive))
    message = create(body, type=target, source=target, content_type=bus.formats[target].content_type)
    return Outgoing(message, inbound_queue(target))


def _event(bus: Bus, target: str, body: bytes) -> Outgoing:
    from esb.broker.port import Outgoing, event_key
    from esb.formats.numbers import decode_json
    from esb.message import create

    contract = bus.parts.contracts.get(target)
    if contract is None:
        unknown("contract", target, bus.parts.contracts)
    document = decode_json(body)
    contract.check(document)
    message = create(
        msgspec.json.encode(document), type=contract.type, version=contract.version, source="esb-send",
        subject=contract.subject(document),
    )  # fmt: skip
    return Outgoing(message, event_key(contract.type, contract.version), event=True)


def _tell(id: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": id})
    else:
        click.echo(id)
        click.echo(f"sent; `esb trace {id}` shows what becomes of it", err=True)


def _follow(store: Store, id: str, as_json: bool) -> None:
    """Show the journey when it has settled; exit code 1 when it did not, or not well."""
    from esb.cli import trace

    hops, settled = _settled(store, id)
    if as_json:
        print_json([trace.plain(hop) for hop in hops])
    elif hops:
        trace.show(hops)
    if not hops:
        complain(f"nothing has taken it up within {PATIENCE:.0f} s: is the bus running?")
    elif not settled:
        complain(f"it is still under way after {PATIENCE:.0f} s; `esb trace {id}` shows how it goes on")
    if not settled or any(hop.status.label in ("parked", "in doubt") for hop in hops):
        sys.exit(FAILED)


def _settled(store: Store, id: str) -> tuple[list[Hop], bool]:
    """The journey, and whether it has stopped changing for a second with nothing in it under way."""
    deadline, since = time.monotonic() + PATIENCE, time.monotonic()
    seen: list[Hop] = []
    while time.monotonic() < deadline:
        with store.reading() as t:
            hops = t.tracking.journey(id)
        if hops != seen:
            seen, since = hops, time.monotonic()
        if hops and not _moving(hops) and time.monotonic() - since > 1:
            return seen, True
        time.sleep(0.1)
    return seen, False


def _moving(hops: Sequence[Hop]) -> bool:
    return any(hop.status.label in ("retrying", "waiting") for hop in hops) or sum(hop.sent for hop in hops) > len(hops)
