"""`esb trace`: the journey of one message and of all that came from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
import msgspec

from esb.cli.common import (
    complain,
    counted,
    directory,
    json_output,
    load,
    moment,
    not_found,
    opened_store,
    print_json,
    printable,
    told,
)

if TYPE_CHECKING:
    from esb.cli.journey import Row
    from esb.store import Hop, Transaction
    from esb.worker.answers import Told
    from esb.worker.journey import Key

COLOURS = {
    "completed": "green", "accepted": "green", "parked": "red", "in doubt": "red", "retrying": "yellow",
    "waiting": "yellow", "rejected": "red", "discarded": "yellow", "unsubscribed": "yellow", "compensated": "yellow",
}  # fmt: skip
WIDEST = 60  # columns that the tree takes at the most before status and notes are no longer aligned
MOST = 1000


@click.command("trace")
@directory
@click.argument("message")
@click.option("--bodies", is_flag=True, help="Print bodies too, as far as they are stored, and what calls answered.")
@click.option("--ids", is_flag=True, help="Print the message id at each place too.")
@json_output
@told
def command(root: str, env: str | None, message: str, bodies: bool, ids: bool, as_json: bool) -> None:
    """Show the journey of MESSAGE: an id (or its beginning), or a business key such as an order number."""
    with opened_store(root, env) as store, store.reading() as t:
        wanted, others = _find(t, message)
        hops = t.tracking.journey(wanted[0]) if wanted else []
        answers = _answers(root, env, t, hops) if bodies else {}
    if not hops:
        not_found(f"no message with the id or business key {message!r}; `esb messages` lists what there is")
    if as_json:
        print_json([plain(hop) | _answered(hop, answers, bodies) for hop in hops])
        return
    show(hops, wanted, bodies, ids, answers)
    if others:
        known = f"{counted(others, 'earlier journey')} of {message!r}"
        click.echo(f"{known}: `esb messages {message}` lists all, `esb trace ID` shows one", err=True)


def _find(t: Transaction, message: str) -> tuple[list[str], int]:
    """The ids meant, all of the newest journey, and how many earlier journeys there are."""
    tries: list[dict[str, Any]] = [{"id": message}, {"subject": message}, {"correlation_id": message}]
    found = next(filter(None, (t.tracking.find(limit=MOST, **one) for one in tries)), [])
    journeys = dict.fromkeys(hop.correlation_id for hop in found)
    newest = next(iter(journeys), "")
    return [hop.message_id for hop in found if hop.correlation_id == newest], max(len(journeys) - 1, 0)


def _answers(root: str, env: str | None, t: Transaction, hops: Sequence[Hop]) -> Mapping[Key, str]:
    """What endpoints said to the commands, as far as it is kept; the configuration tells what of it is hidden."""
    from esb.discovery import make_format
    from esb.errors import EsbError
    from esb.flow import build_parts
    from esb.worker.answers import Answers

    sent = [hop for hop in hops if hop.place.startswith("out:") and hop.operation]
    try:
        definition, components = load(root, env)
        reader = Answers(
            definition,
            build_parts(definition),
            {name: make_format(name, definition, components) for name in definition.endpoints},
        )
    except EsbError as error:
        complain(f"answers are left out, for the configuration says what of them is hidden: {error}")
        return {}
    found = {(h.message_id, h.place): reader.of(t, h.place[4:], h.operation or "", h.message_id) for h in sent}
    return {key: _said(one) for key, one in found.items() if one is not None and one.document is not None}


def _said(told: Told) -> str:
    return msgspec.json.format(msgspec.json.encode(told.document), indent=2).decode()


def _answered(hop: Hop, answers: Mapping[Key, str], asked: bool) -> dict[str, Any]:
    return {"answer": answers.get((hop.message_id, hop.place))} if asked else {}


def show(
    hops: Sequence[Hop],
    wanted: Sequence[str] = (),
    bodies: bool = False,
    ids: bool = False,
    answers: Mapping[Key, str] = MappingProxyType({}),
) -> None:
    """A tree: steps below their flow, below each step what came of it."""
    from esb.cli.journey import rows
    from esb.worker.journey import tree

    first = next((hop for hop in hops if hop.message_id in wanted), hops[0])
    lines = list(rows(tree(hops, wanted, bodies, ids, answers)))
    _title(first)
    width = min(max(len(row.branch) + len(row.node.label) for row in lines if row.node), WIDEST)
    for row in lines:
        click.echo(_line(row, width))


def _title(hop: Hop) -> None:
    name = click.style(printable(hop.subject or hop.message_id), bold=True)
    came = f"{hop.type} from {hop.source}" if hop.source else hop.type
    click.echo(f"{name}  {printable(came)}, {moment(hop.received_at)}  (correlation {printable(hop.correlation_id)})")


def _line(row: Row, width: int) -> str:
    branch = click.style(row.branch, dim=True)
    if row.node is None:
        text = printable(row.text)
        return branch + (click.style(text, fg="red") if row.failed else text)
    node, note = row.node, printable(row.node.note)
    if not node.status:
        return branch + node.label + click.style(f"  {note}" if note else "", dim=True)
    label = node.label.ljust(width - len(row.branch))
    status = click.style(node.status.ljust(9), fg=COLOURS.get(node.status))
    return f"{branch}{label}  {status}  {note}".rstrip()


def plain(hop: Hop) -> dict[str, Any]:
    """A hop for programs: bodies as text where they are text."""
    from esb.worker.journey import headers_of, steps_of

    value = {name: getattr(hop, name) for name in hop.__struct_fields__}
    value["status"] = hop.status.label
    value["steps"] = [{name: getattr(step, name) for name in step.__struct_fields__} for step in steps_of(hop)]
    value["headers"] = headers_of(hop)
    value["body"] = hop.body.decode("utf-8", "replace") if hop.body is not None else None
    return value
