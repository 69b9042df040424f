"""`esb explain`: why a message went where it went, step by step."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from esb.cli.common import FAILED, directory, json_output, load, not_found, print_json, printable, told, unknown
from esb.cli.replies import Replies

if TYPE_CHECKING:
    from esb.config import Definition
    from esb.flow.alone import Ended
    from esb.flow.explaining import Explained, Reason, Way
    from esb.store import Hop
    from esb.worker.intake import Admitted

LONGEST = 100  # characters of a value in a line


class Account(msgspec.Struct, frozen=True):
    """What is told of one message at one flow."""

    flow: str
    message: str
    status: str
    error: str
    missing: str  # what could not be computed, and why
    steps: Sequence[Explained]


@click.command("explain")
@directory
@click.argument("message")
@click.option("--flow", metavar="NAME", help="MESSAGE is a file with a document: explain what this flow does with it.")
@click.option(
    "--reply",
    "replies",
    multiple=True,
    metavar="ENDPOINT.OPERATION=JSON",
    help="With --flow: what a call is answered, as JSON or a file of it; may be repeated, one a call.",
)
@json_output
@told
def command(
    root: str, env: str | None, message: str, flow: str | None, replies: tuple[str, ...], as_json: bool
) -> None:  # fmt: skip
    """Say why MESSAGE went where it went: an id (or its beginning), or a business key such as an order number.

    For each step: what it went by and the values that were read for it, the way taken, and why the others were not.
    With --flow nothing needs to have run: MESSAGE is a file, read as the flow's endpoint reads it (or JSON), and the
    flow goes through it up to where a call has no --reply, or where it waits for others; time passes at once. Exit code
    1 when it fails there.
    """
    if replies and not flow:
        raise click.UsageError("what a stored message was answered is stored, too: --reply goes with --flow")
    accounts = _of_file(root, env, Path(message), flow, replies) if flow else _of_stored(root, env, message)
    if as_json:
        print_json([_plain(account) for account in accounts])
    else:
        for account in accounts:
            _show(account)
    if flow and any(account.error for account in accounts):
        sys.exit(FAILED)


# --- a file -----------------------------------------------------------------------------------------------------------


def _of_file(root: str, env: str | None, file: Path, name: str, given: Sequence[str]) -> list[Account]:
    from esb.flow import build_parts
    from esb.flow.recording import Recorder

    definition, _ = load(root, env)
    if name not in definition.flows:
        unknown("flow", name, definition.flows)
    if not file.exists():
        not_found(f"there is no file {file}; to explain a message that the bus has stored, leave --flow out")
    recorder = Recorder(name, definition, build_parts(definition))
    return [
        _run(recorder, admitted, name, Replies(definition, given)) for admitted in _admitted(definition, name, file)
    ]


def _admitted(definition: Definition, name: str, file: Path) -> list[Admitted]:
    """The messages in a file, as they would come in."""
    from esb.contract import Contract
    from esb.formats import FORMATS
    from esb.message import JSON, create, new_id
    from esb.worker.intake import Admitted, Intake

    source, body, moment = definition.flows[name].source, file.read_bytes(), file.stat().st_mtime
    endpoint = definition.endpoints.get(source)
    if endpoint is None or endpoint.receive is None:
        type, _, version = source.partition("/v")
        return [Admitted(create(body, type=type, version=int(version or 0), source="file", time=moment))]
    ref = endpoint.receive.common.contract
    contract = Contract(ref, definition.contracts[ref], definition.contracts) if ref else None
    format = FORMATS[endpoint.format](endpoint.format_settings)
    kind = JSON if file.suffix == ".json" else format.content_type
    return Intake(endpoint, format, contract).admit_bytes(body, kind, id=new_id(), time=moment)


def _run(recorder: Any, admitted: Admitted, name: str, replies: Replies) -> Account:
    from esb.flow.alone import run_alone
    from esb.flow.explaining import explain

    message = admitted.message
    title = message.subject or message.id
    if admitted.error is not None:
        return Account(name, title, "not taken in", str(admitted.error), "", ())
    recorder.forget()
    ended = run_alone(recorder, message, replies.to)
    steps = [explain(visit) for visit in recorder.visits]
    return Account(name, ended.subject or title, ended.status, str(ended.error or ""), _awaits(ended), steps)


def _awaits(ended: Ended) -> str:
    """Why it is not told how it goes on."""
    asked = dict.fromkeys(f"{call.endpoint}.{call.operation}" for call in ended.unanswered)
    if asked:
        first = next(iter(asked))
        return f"it waits for the answer of {' and '.join(asked)}: --reply '{first}=…' gives one"
    steps = [f"{step} ({waits})" if waits else step for step, waits in ended.waiting.items()]
    return f"it waits for others at the step {' and '.join(steps)}" if steps else ""


# --- a stored message -------------------------------------------------------------------------------------------------


def _of_stored(root: str, env: str | None, text: str) -> list[Account]:
    from esb.broker.memory import MemoryBroker
    from esb.bus import Bus
    from esb.cli.common import opened_store
    from esb.worker.recompute import Recomputer

    with opened_store(root, env) as store:
        with store.reading() as t:
            found = t.tracking.find(limit=1000, **t.tracking.meaning(text))
            hops = [t.tracking.get(hop.message_id, hop.place) for hop in reversed(found) if "flow:" in hop.place[:5]]
        newest = {hop.correlation_id for hop in found[:1]}
        wanted = [hop for hop in hops if hop and hop.correlation_id in newest]
        if not wanted:
            not_found(
                f"no flow has had a message with the id or business key {text!r}; `esb messages` lists what there is"
            )
        definition, components = load(root, env)
        bus = Bus(definition, components, broker=MemoryBroker(), store=store)
        recomputer = Recomputer(bus.context, bus.parts)
        return [_account(hop, recomputer.steps(hop)) for hop in wanted]


def _account(hop: Hop, recomputed: Any) -> Account:
    error = f"{hop.error_kind}: {hop.error}" if hop.error else ""
    title = hop.subject or hop.message_id
    return Account(hop.place[5:], title, hop.status.label, error, recomputed.why, recomputed.explained)


# --- output -----------------------------------------------------------------------------------------------------------


def _show(account: Account) -> None:
    head = f"{click.style(printable(account.message), bold=True)}  flow {account.flow}: {account.status}"
    click.echo(head)
    lines = list(_lines(account.steps))
    width = max((len(left) for left, _ in lines if left), default=0)
    for left, right in lines:
        click.echo(f"{left.ljust(width)}  {right}".rstrip() if left else right)
    for text in (account.error, account.missing):
        if text:
            click.secho(printable(text), fg="red" if text == account.error else "yellow")


def _lines(steps: Sequence[Explained], depth: int = 0) -> Iterator[tuple[str, str]]:
    """Pairs of a step with what it said, and lines below it, which have no left part."""
    indent = "  " * depth
    for step in steps:
        yield f"{indent}{step.step}", f"{click.style(step.where, dim=True)}  {_said(step)}".rstrip()
        inner = f"{indent}    "
        titles = {way.title for way in step.ways}
        for reason in step.reasons:
            if reason.what not in titles:
                yield "", f"{inner}{_short(reason.what)} is {_short(reason.value)}{_reads(reason)}"
        for way in step.ways:
            yield "", inner + _way(way, next((r for r in step.reasons if r.what == way.title), None))
        for path, why in step.skipped:
            yield "", f"{inner}{path}: {why}"
        if step.error:
            yield "", inner + click.style(f"failed: {printable(step.error)}", fg="red")
        yield from _lines(step.below, depth + 1)


def _said(step: Explained) -> str:
    """What it said, unless its name or a way says it already."""
    taken = {way.title for way in step.ways if way.taken}
    return "" if not step.said or step.said in taken or step.step.endswith(step.said) else step.said


def _way(way: Way, reason: Reason | None) -> str:
    reads = _reads(reason) if reason else ""
    if way.taken:
        return click.style(f"→ {_short(way.title)}{reads}", fg="green")
    return f"✗ {_short(way.title)}: {printable(way.why)}{reads}"


def _reads(reason: Reason) -> str:
    read = [f"{path} is {_short(value)}" for path, value in reason.reads if path != reason.what]
    return f" ({', '.join(read)})" if read else ""


def _short(text: str) -> str:
    return printable(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def _plain(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(account)
    return found
