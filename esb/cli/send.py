"""`esb send`: put something into the bus by hand, the same way that an adapter's arrivals go."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from esb.cli.common import FAILED, directory, load, not_found, print_json, told

if TYPE_CHECKING:
    from esb.broker.port import Outgoing
    from esb.bus import Bus
    from esb.message import Message
    from esb.store import Hop, Store


@click.command("send")
@directory
@click.argument("target")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--wait", is_flag=True, help="Wait until it has settled, and show its journey (30 s at the most).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@told
def command(root: str, env: str | None, target: str, file: BinaryIO, wait: bool, as_json: bool) -> None:
    """Send FILE (or standard input) to TARGET: a receiving endpoint, or an event such as order.placed/v1.

    For an endpoint the bytes are in its own format, and are read, checked and routed as if they had come through
    its adapter. For an event they are a JSON document, checked against its contract.
    """
    from esb.broker.port import Outcome
    from esb.bus import Bus

    definition, components = load(root, env)
    bus = Bus(definition, components)
    try:
        outgoing = _event(bus, target, file.read()) if "/" in target else _command(bus, target, file.read())
        bus.prepare()
        publisher = bus.broker.publisher("esb send")
        [outcome] = publisher.publish([outgoing])
        publisher.close()
        if outcome is not Outcome.CONFIRMED:
            click.secho(f"error: nobody takes it: {target} has no subscriber", fg="red", err=True)
            sys.exit(FAILED)
        _report(bus, outgoing.message, wait, as_json)
    finally:
        bus.close()


def _command(bus: Bus, target: str, body: bytes) -> Outgoing:
    from esb.broker.port import Outgoing, inbound_queue
    from esb.message import create

    endpoint = bus.definition.endpoints.get(target)
    if endpoint is None or endpoint.receive is None:
        names = sorted(e.name for e in bus.definition.endpoints.values() if e.receive)
        not_found(f"no endpoint {target!r} receives; there are: {', '.join(names) or 'none'}")
    message = create(body, type=target, source=target, content_type=bus.formats[target].content_type)
    return Outgoing(message, inbound_queue(target))


def _event(bus: Bus, target: str, body: bytes) -> Outgoing:
    from esb.broker.port import Outgoing, event_key
    from esb.formats.numbers import decode_json
    from esb.message import create

    contract = bus.parts.contracts.get(target)
    if contract is None:
        not_found(f"no contract {target!r}; there are: {', '.join(sorted(bus.parts.contracts))}")
    document = decode_json(body)
    contract.check(document)
    message = create(
        msgspec.json.encode(document), type=contract.type, version=contract.version, source="esb-send",
        subject=contract.subject(document),
    )  # fmt: skip
    return Outgoing(message, event_key(contract.type, contract.version), event=True)


def _report(bus: Bus, message: Message, wait: bool, as_json: bool) -> None:
    if not wait:
        if as_json:
            print_json({"id": message.id})
        else:
            click.echo(message.id)
            click.echo(f"sent; `esb trace {message.id}` shows what becomes of it", err=True)
        return
    from esb.cli import trace

    hops = _settled(bus.store, message.id)
    if as_json:
        print_json([trace.plain(hop) for hop in hops])
    elif hops:
        trace.show(hops)
    else:
        click.secho("error: nothing has taken it up within 30 s: is the bus running?", fg="red", err=True)
        sys.exit(FAILED)


def _settled(store: Store, id: str, limit: float = 30.0) -> list[Hop]:
    """The journey once it has stopped changing for a second, and nothing in it is under way."""
    deadline, since = time.monotonic() + limit, time.monotonic()
    seen: list[Hop] = []
    while time.monotonic() < deadline:
        with store.reading() as t:
            hops = t.tracking.journey(id)
        if hops != seen:
            seen, since = hops, time.monotonic()
        moving = any(hop.status.label == "retrying" for hop in hops) or sum(hop.sent for hop in hops) > len(hops)
        if hops and not moving and time.monotonic() - since > 1:
            break
        time.sleep(0.1)
    return seen
