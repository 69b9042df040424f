"""`esb failed`: parked messages; look, change, export, retry, discard. Every act is audited with who and why."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import indent
from typing import IO, TYPE_CHECKING, Any, Literal

import click
from msgspec.structs import replace

from esb.cli.common import (
    FAILED,
    complain,
    confirm,
    counted,
    directory,
    json_output,
    load,
    moment,
    not_found,
    opened_store,
    print_json,
    print_table,
    printable,
    short,
    told,
)
from esb.cli.places import refuse_unknown

if TYPE_CHECKING:
    from esb.cases.export import Exported
    from esb.config import Definition
    from esb.flow import Parts
    from esb.store import Chosen, Group, Parked, Store, Transaction
    from esb.worker.repair import Acted

MOST = 100_000


@click.group("failed")
def command() -> None:
    """List, show, change, export, retry or discard parked messages."""


def selection(act: Callable[..., Any]) -> Callable[..., Any]:
    """Which parked messages an act is about: ids, or a group by kind, place and type, or all."""
    options = [
        click.argument("ids", nargs=-1, metavar="[MESSAGE]..."),
        click.option("--kind", help="Only this kind of failure, such as contract."),
        click.option("--at", "place", help="Only this place, such as out:warehouse."),
        click.option("--type", "type_", help="Only this message type."),
        click.option("--all", "every", is_flag=True, help="All parked messages."),
        click.option("--why", default="", help="The reason, for the audit."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    ]
    for option in reversed(options):
        act = option(act)
    return act


@command.command("list")
@directory
@click.option("--groups", is_flag=True, help="Count by cause instead.")
@click.option("--kind", help="Only this kind of failure, such as contract.")
@click.option("--at", "place", help="Only this place, such as out:warehouse.")
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1, MOST), help="Most to show.")
@json_output
@told
def list_(
    root: str, env: str | None, groups: bool, kind: str | None, place: str | None, limit: int, as_json: bool
) -> None:
    """List what is parked, the longest waiting first."""
    with opened_store(root, env) as store:
        with store.reading() as t:
            if groups:
                return _groups(t.parked.groups(), as_json)
            rows = t.parked.list(kind=kind or "", place=place or "", limit=limit)
        if place and not rows:
            refuse_unknown(place, root, env, store)
    if as_json:
        return print_json([_plain(row) for row in rows])
    print_table(
        ("parked", "subject", "type", "at", "kind", "error", "message"),
        [
            (moment(p.parked_at), p.message.subject, p.message.type, p.place, p.kind, short(p.error, 200), p.message.id)
            for p in rows
        ],
        shrink=(("error", 30), ("message", 18), ("parked", 8), ("error", 8), ("subject", 10)),
    )
    none = "nothing parked matches" if kind or place else "nothing is parked"
    click.echo(f"{len(rows)} parked" if rows else none, err=True)
    return None


@command.command("show")
@directory
@click.argument("message")
@json_output
@told
def show(root: str, env: str | None, message: str, as_json: bool) -> None:
    """Show one parked message: why, where, its headers and its body."""
    with opened_store(root, env) as store, store.reading() as t:
        rows = t.parked.list(id=message) or t.parked.list(subject=message)
    if not rows:
        not_found(f"no parked message with the id or business key {message!r}")
    if as_json:
        return print_json([_plain(row) for row in rows])
    for row in rows:
        _show(row)
    return None


@command.command("retry")
@directory
@selection
@told
def retry(root: str, env: str | None, why: str, yes: bool, **chosen: Any) -> None:
    """Send messages on again from where they failed. Effects already done are recognised, not repeated."""
    done = _act("retry", root, env, chosen, why, yes)
    said = "to be sent on in pieces (`esb replay show` says how far)" if done.replay else "sent on again"
    click.echo(f"{done.count} {said}; a running bus takes them up within seconds", err=True)


@command.command("discard")
@directory
@selection
@told
def discard(root: str, env: str | None, why: str, yes: bool, **chosen: Any) -> None:
    """Give messages up for good. They stay readable until retention removes them."""
    done = _act("discard", root, env, chosen, why, yes)
    click.echo(f"{done.count} discarded", err=True)


@command.command("edit")
@directory
@click.argument("message")
@click.option("--body", "file", type=click.File("rb"), help="The new body (- is standard input); default: an editor.")
@click.option("--at", "place", help="The place, where the message is parked at several.")
@click.option("--why", default="", help="The reason, for the audit.")
@told
def edit(root: str, env: str | None, message: str, file: IO[bytes] | None, place: str | None, why: str) -> None:
    """Change the body of a parked message. It stays parked: `esb failed retry` sends it on."""
    from esb.flow import build_parts
    from esb.worker import repair

    definition, _ = load(root, env)
    with opened_store(root, env) as store:
        row = _one(store, message, place)
        body = file.read() if file else _in_editor(row)
        repair.edit(store, build_parts(definition), row.key, body, getpass.getuser(), why)
    click.echo(f"changed; `esb failed retry {row.message.id}` sends it on", err=True)


@command.command("settle")
@directory
@click.argument("message")
@click.option("--done", "outcome", flag_value="done", help="It took place.")
@click.option("--failed", "outcome", flag_value="failed", help="It did not take place; whoever asked is told so.")
@click.option("--reply", "file", type=click.File("rb"), help="With --done: what the other side answered, as JSON.")
@click.option("--at", "place", help="The place, where the message is parked at several.")
@click.option("--why", default="", help="The reason, for the audit.")
@told
def settle(
    root: str, env: str | None, message: str, outcome: str | None, file: IO[bytes] | None, place: str | None, why: str
) -> None:
    """Say how a command ended that is parked at an endpoint, in doubt above all. Nothing is sent to the endpoint."""
    from esb.discovery import make_format
    from esb.flow import build_parts
    from esb.ports import Reply
    from esb.worker import settle as settling
    from esb.worker.replies import Replies

    if outcome is None or (file and outcome == "failed"):
        raise click.UsageError("say --done (perhaps with --reply FILE), or --failed")
    definition, components = load(root, env)
    with opened_store(root, env) as store:
        row = _one(store, message, place)
        name = row.place.partition(":")[2]
        if not row.place.startswith("out:") or name not in definition.endpoints:
            not_found(f"{message} is parked at {row.place}: only what was sent to an endpoint is settled")
        format = make_format(name, definition, components)
        replies = Replies(definition.endpoints[name], format, build_parts(definition).contracts)
        with store.transaction() as t:
            if outcome == "failed":
                settling.failed(t, replies, row, getpass.getuser(), why)
            else:
                reply = Reply(detail="settled", body=file.read() if file else b"", content_type="application/json")
                settling.done(t, replies, row, reply, getpass.getuser(), why)
    click.echo(f"settled as {outcome}; a running bus tells whoever asked within seconds", err=True)


@command.command("export")
@directory
@click.argument("message")
@click.option("--at", "place", help="The place, where the message is parked at several.")
@click.option("--save", is_flag=True, help="Add it to the test file beside its flow or saga, instead of printing it.")
@told
def export(root: str, env: str | None, message: str, place: str | None, save: bool) -> None:
    """Print a parked message as a test case: what came, what endpoints answered, and that it should go through.

    The case fails as the message failed until what is wrong is mended. What is hidden is replaced by something of its
    kind; secrets never stand in it.
    """
    from esb.cases.export import export as exported_of
    from esb.flow import build_parts

    definition, _ = load(root, env)
    parts = build_parts(definition)
    with opened_store(root, env) as store:
        row = _one(store, message, place)
        with store.reading() as t:
            found = exported_of(t, definition, parts, row)
    if save:
        path = Path(definition.root, found.file)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(f"{before.rstrip()}\n---\n{found.text}" if before.strip() else found.text, encoding="utf-8")
        click.echo(f"added to {found.file}", err=True)
    else:
        click.echo(found.text, nl=False)
    _say_how_it_fares(found, definition, parts)


def _say_how_it_fares(exported: Exported, definition: Definition, parts: Parts) -> None:
    """Whether the case fails now, and how."""
    from esb.cases.files import read_cases
    from esb.cases.run import run_files

    (result,) = run_files(read_cases(exported.text, exported.file), definition, parts)
    if result.passed:
        click.secho("it passes: what was wrong is mended, or lies outside of the bus", fg="green", err=True)
    for problem in result.problems:
        click.secho(f"it fails: {problem}", fg="red", err=True)


def _one(store: Store, message: str, place: str | None) -> Parked:
    """The one parked message that is meant."""
    with store.reading() as t:
        found = t.parked.list(id=message, place=place or "") or t.parked.list(subject=message, place=place or "")
    if not found:
        not_found(f"no parked message with the id or business key {message!r}")
    if len(found) > 1:
        places = ", ".join(f"{row.message.id} at {row.place}" for row in found[:5])
        raise click.UsageError(f"{len(found)} messages match ({places}): give an id, and --at PLACE")
    return found[0]


def _in_editor(row: Parked) -> bytes:
    from esb.worker.journey import pretty

    text = click.edit(pretty(row.message.body), extension=".json")
    if text is None:
        complain("nothing was changed")
        sys.exit(FAILED)
    return text.encode()


def _act(act: Literal["retry", "discard"], root: str, env: str | None, chosen: Any, why: str, yes: bool) -> Acted:
    """Act on a selection, once it is confirmed."""
    from esb.worker import repair

    with opened_store(root, env) as store:
        meant = choose(act, store, chosen, yes)
        return repair.act_on(store, act, meant, getpass.getuser(), why)


def choose(act: str, store: Store, chosen: Any, yes: bool) -> Chosen | list[tuple[str, str]]:
    """What a :func:`selection` means, once it is confirmed; the command ends where that is nothing."""
    with store.reading() as t:
        meant = _meant(t, **chosen)
        count = t.parked.count(meant) if not isinstance(meant, list) else len(meant)
    if not count:
        not_found("nothing parked matches")
    confirm(f"{act.capitalize()} {counted(count, 'message')}?", yes or len(chosen["ids"]) > 0)
    return meant


def _meant(
    t: Transaction, ids: tuple[str, ...], kind: str | None, place: str | None, type_: str | None, every: bool
) -> Chosen | list[tuple[str, str]]:
    from esb.store import Chosen

    if not (ids or kind or place or type_ or every):
        raise click.UsageError("say which: message ids, --kind, --at, --type, or --all")
    common = Chosen(kind=kind or "", place=place or "", type=type_ or "", until=time.time())
    if not ids:
        return common
    tries = [(replace(common, id=id), replace(common, subject=id)) for id in ids]
    return [row.key for by_id, by_key in tries for row in t.parked.find(by_id) or t.parked.find(by_key)]


def _groups(groups: Sequence[Group], as_json: bool) -> None:
    if as_json:
        print_json(groups)
        return
    for g in groups:
        when = " to ".join(dict.fromkeys((moment(g.first), moment(g.last))))
        click.echo(click.style(f"{g.count:>6}  {g.kind} at {g.place}", bold=True) + f"  {when}")
        click.secho(f"        {printable(g.error)}", fg="red")
    click.echo(counted(len(groups), "cause") if groups else "nothing is parked", err=True)


def _show(row: Parked) -> None:
    from esb.worker.journey import pretty

    m = row.message
    click.secho(printable(m.subject or m.id), bold=True)
    facts = {
        "message": m.id, "type": m.contract, "at": row.place, "step": row.step, "operation": row.operation,
        "kind": row.kind, "attempts": row.attempts, "first failed": moment(row.first_failed),
        "parked": moment(row.parked_at), "status": row.status, "correlation": m.correlation_id, "source": m.source,
    }  # fmt: skip
    for name, value in facts.items():
        if value:
            click.echo(printable(f"  {name:<13}{value}"))
    click.secho(printable(f"  {row.error}"), fg="red")
    for name, value in m.headers.items():
        click.echo(printable(f"  header {name}: {value}"))
    click.echo(indent(printable(pretty(m.body)), "    "))


def _plain(row: Parked) -> dict[str, Any]:
    m = row.message
    names = ("place", "queue", "kind", "error", "step", "operation", "attempts", "first_failed", "parked_at", "status")
    return {
        "message_id": m.id, "type": m.type, "version": m.version, "subject": m.subject, "source": m.source,
        "correlation_id": m.correlation_id, "headers": m.headers, "content_type": m.content_type,
        "body": m.body.decode("utf-8", "replace"), **{name: getattr(row, name) for name in names},
    }  # fmt: skip
