"""`esb trace`: the journey of one message and of all that came from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from esb.cli.common import directory, json_output, moment, not_found, opened_store, print_json, told

if TYPE_CHECKING:
    from esb.store import Hop

COLOURS = {"completed": "green", "accepted": "green", "parked": "red", "in doubt": "red", "retrying": "yellow"}


@click.command("trace")
@directory
@click.argument("message")
@click.option("--bodies", is_flag=True, help="Print the body at each place too, as far as it was stored.")
@json_output
@told
def command(root: str, env: str | None, message: str, bodies: bool, as_json: bool) -> None:
    """Show the journey of MESSAGE: an id (or its beginning), or a business key such as an order number."""
    with opened_store(root, env) as store, store.reading() as t:
        found = t.tracking.find(id=message, limit=1) or t.tracking.find(subject=message, limit=1)
        hops = t.tracking.journey(found[0].message_id) if found else []
    if not hops:
        not_found(f"no message with the id or business key {message!r}")
    elif as_json:
        print_json([plain(hop) for hop in hops])
    else:
        show(hops, bodies)


def show(hops: Sequence[Hop], bodies: bool = False) -> None:
    """A tree: children below the message they came from."""
    by_parent: dict[str | None, list[Hop]] = {}
    # A flow may be done before its entry is written down; for people the entry comes first.
    hops = sorted(hops, key=lambda hop: not hop.place.startswith("in:"))
    known = {hop.message_id for hop in hops}
    for hop in hops:
        by_parent.setdefault(hop.causation_id if hop.causation_id in known else None, []).append(hop)
    first = hops[0]
    click.secho(f"{first.subject or first.message_id}  (correlation {first.correlation_id})", bold=True)
    _branch(by_parent, None, 0, bodies)


def _branch(by_parent: dict[str | None, list[Hop]], parent: str | None, depth: int, bodies: bool) -> None:
    shown: set[str] = set()
    hops = by_parent.get(parent, [])
    for hop in hops:
        _line(hop, depth, bodies)
        last_of_message = hop is [h for h in hops if h.message_id == hop.message_id][-1]
        if last_of_message and hop.message_id not in shown:
            shown.add(hop.message_id)
            _branch(by_parent, hop.message_id, depth + 1, bodies)


def _line(hop: Hop, depth: int, bodies: bool) -> None:
    pad = "  " * depth
    place = f"{hop.place}.{hop.operation}" if hop.operation else hop.place
    took = f" {1000 * (hop.ended_at - hop.received_at):.0f} ms" if hop.ended_at else ""
    kind = f"{hop.type}/v{hop.version}" if hop.version else hop.type
    detail = f" ({hop.detail})" if hop.detail else ""
    attempts = f", attempt {hop.attempts}" if hop.attempts > 1 else ""
    status = click.style(hop.status.label, fg=COLOURS.get(hop.status.label))
    click.echo(f"{pad}{place}  {status}{detail}  {kind}  {moment(hop.received_at)}{took}{attempts}  {hop.message_id}")
    for step in _steps(hop):
        click.echo(f"{pad}    · {step}")
    if hop.error:
        click.secho(f"{pad}    {hop.error_kind}: {hop.error}", fg="red")
    if bodies and hop.body:
        click.echo(_indented(hop.body, pad + "    "))


def _steps(hop: Hop) -> list[str]:
    steps: list[Any] = msgspec.msgpack.decode(hop.steps) if hop.steps else []
    return [" ".join(str(part) for part in _flat(step) if part) for step in steps]


def _flat(step: Any) -> list[Any]:
    if isinstance(step, dict):
        return [
            step.get("step"),
            *(str(value) for key, value in step.items() if key not in ("step", "kind", "children")),
        ]
    return list(step) if isinstance(step, list) else [step]


def _indented(body: bytes, pad: str) -> str:
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except msgspec.DecodeError:
        text = body.decode("utf-8", "replace")
    return "\n".join(pad + line for line in text.splitlines())


def plain(hop: Hop) -> dict[str, Any]:
    """A hop for programs: bodies as text where they are text."""
    value = {name: getattr(hop, name) for name in hop.__struct_fields__}
    value["status"] = hop.status.label
    value["steps"] = msgspec.msgpack.decode(hop.steps) if hop.steps else []
    value["headers"] = msgspec.msgpack.decode(hop.headers) if hop.headers else {}
    value["body"] = hop.body.decode("utf-8", "replace") if hop.body is not None else None
    return value
