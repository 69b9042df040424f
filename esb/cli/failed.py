"""`esb failed`: parked messages; look, retry, discard. Every act is audited with who and why."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import (
    FAILED,
    complain,
    counted,
    directory,
    json_output,
    moment,
    not_found,
    opened_store,
    print_json,
    print_table,
    short,
    told,
)

if TYPE_CHECKING:
    from esb.store import Group, Parked

MOST = 100_000


@click.group("failed")
def command() -> None:
    """List, show, retry or discard parked messages."""


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
    with opened_store(root, env) as store, store.reading() as t:
        if groups:
            return _groups(t.parked.groups(), as_json)
        rows = t.parked.list(kind=kind or "", place=place or "", limit=limit)
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
    click.echo(f"{len(rows)} parked" if rows else "nothing is parked", err=True)
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
    with _chosen(root, env, chosen, yes, "Retry") as (t, keys):
        done = t.parked.retry(keys, who=getpass.getuser(), why=why)
    click.echo(f"{len(done)} sent on again; a running bus takes them up within seconds", err=True)


@command.command("discard")
@directory
@selection
@told
def discard(root: str, env: str | None, why: str, yes: bool, **chosen: Any) -> None:
    """Give messages up for good. They stay readable until retention removes them."""
    with _chosen(root, env, chosen, yes, "Discard") as (t, keys):
        done = t.parked.discard(keys, who=getpass.getuser(), why=why)
    click.echo(f"{len(done)} discarded", err=True)


@contextmanager
def _chosen(root: str, env: str | None, chosen: dict[str, Any], yes: bool, act: str) -> Iterator[tuple[Any, Any]]:
    """The keys of a selection, confirmed, and a transaction to act in."""
    with opened_store(root, env) as store:
        with store.reading() as t:
            rows = _select(t, **chosen)
        if not rows:
            not_found("nothing parked matches")
        _confirm(f"{act} {counted(len(rows), 'message')}?", yes or len(chosen["ids"]) > 0)
        with store.transaction() as t:
            yield t, [row.key for row in rows]


def _select(
    t: Any, ids: tuple[str, ...], kind: str | None, place: str | None, type_: str | None, every: bool
) -> list[Any]:
    if not (ids or kind or place or type_ or every):
        raise click.UsageError("say which: message ids, --kind, --at, --type, or --all")
    if not ids:
        return list(t.parked.list(kind=kind or "", place=place or "", type=type_ or "", limit=MOST))
    found = [row for id in ids for row in (t.parked.list(id=id) or t.parked.list(subject=id))]
    return [row for row in found if (not kind or row.kind == kind) and (not place or row.place == place)]


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        complain(f"{question} Nobody can be asked here: add --yes.")
        sys.exit(FAILED)
    click.confirm(question, abort=True, err=True)


def _groups(groups: Sequence[Group], as_json: bool) -> None:
    if as_json:
        print_json(groups)
        return
    for g in groups:
        when = " to ".join(dict.fromkeys((moment(g.first), moment(g.last))))
        click.echo(click.style(f"{g.count:>6}  {g.kind} at {g.place}", bold=True) + f"  {when}")
        click.secho(f"        {g.error}", fg="red")
    click.echo(counted(len(groups), "cause") if groups else "nothing is parked", err=True)


def _show(row: Parked) -> None:
    from esb.cli.journey import pretty

    m = row.message
    click.secho(f"{m.subject or m.id}", bold=True)
    facts = {
        "message": m.id, "type": m.contract, "at": row.place, "step": row.step, "operation": row.operation,
        "kind": row.kind, "attempts": row.attempts, "first failed": moment(row.first_failed),
        "parked": moment(row.parked_at), "status": row.status, "correlation": m.correlation_id, "source": m.source,
    }  # fmt: skip
    for name, value in facts.items():
        if value:
            click.echo(f"  {name:<13}{value}")
    click.secho(f"  {row.error}", fg="red")
    for name, value in m.headers.items():
        click.echo(f"  header {name}: {value}")
    click.echo(indent(pretty(m.body), "    "))


def _plain(row: Parked) -> dict[str, Any]:
    m = row.message
    names = ("place", "queue", "kind", "error", "step", "operation", "attempts", "first_failed", "parked_at", "status")
    return {
        "message_id": m.id, "type": m.type, "version": m.version, "subject": m.subject, "source": m.source,
        "correlation_id": m.correlation_id, "headers": m.headers, "content_type": m.content_type,
        "body": m.body.decode("utf-8", "replace"), **{name: getattr(row, name) for name in names},
    }  # fmt: skip
