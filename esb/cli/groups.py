"""`esb groups`: what waits at stateful steps, and letting it go. Every act is audited with who and why."""

from __future__ import annotations

import getpass
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import (
    complain,
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

if TYPE_CHECKING:
    from esb.store import GroupRow, Transaction

MOST = 100_000
SHOWN = 200  # messages of one group


@click.group("groups")
def command() -> None:
    """List and show groups of messages that wait for each other; let one go."""


@command.command("list")
@directory
@click.option("--flow", default="", help="Only groups of this flow.")
@click.option("--key", default="", help="Only groups with this key.")
@click.option("--all", "ended", is_flag=True, help="Those that have ended, too.")
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1, MOST), help="Most to show.")
@json_output
@told
def list_(root: str, env: str | None, flow: str, key: str, ended: bool, limit: int, as_json: bool) -> None:
    """List groups that wait, the newest first."""
    with opened_store(root, env) as store, store.reading() as t:
        rows = t.groups.search(flow=flow, key=key, waiting=not ended, limit=limit)
    if as_json:
        return print_json([_plain(row) for row in rows])
    print_table(
        ("opened", "flow", "step", "key", "holds", "waits for", "until", "id"),
        [
            (moment(r.opened_at), r.flow, r.step, r.key, str(r.size), _state(r), _until(r), r.id)
            for r in rows
        ],
        shrink=(("waits for", 30), ("id", 18), ("step", 14), ("opened", 8), ("key", 10), ("waits for", 10)),
    )  # fmt: skip
    click.echo(f"{len(rows)} groups" if rows else "nothing waits", err=True)
    return None


@command.command("show")
@directory
@click.argument("group")
@json_output
@told
def show(root: str, env: str | None, group: str, as_json: bool) -> None:
    """Show the newest group with this id (or its beginning) or key, and the messages in it."""
    from esb.worker.groups import stays

    with opened_store(root, env) as store, store.reading() as t:
        row = _found(t, group)
        held = stays(t, row.id, SHOWN)
    if as_json:
        print_json({**_plain(row), "messages": held})
        return
    click.echo(f"{click.style(printable(row.key), bold=True)}  {row.flow}, step {row.step}  ({row.id})")
    click.echo(f"  opened {moment(row.opened_at)}, {_state(row)}" + (f", until {_until(row)}" if row.due_at else ""))
    if row.dropped:
        click.echo(f"  {row.dropped} came too late and were dropped")
    print_table(
        ("place", "message", "since", "answer"),
        [(str(one.position), one.message, moment(one.since), one.failed or one.name) for one in held],
    )
    if row.size > len(held) == SHOWN:
        click.echo(f"these are the first {SHOWN} of {row.size}", err=True)


@command.command("release")
@directory
@click.argument("group")
@click.option("--why", "--reason", "reason", required=True, help="The reason, for the audit.")
@told
def release(root: str, env: str | None, group: str, reason: str) -> None:
    """Let go what GROUP holds, as it is; a running bus sends it on within seconds."""
    from esb.bus import Bus
    from esb.worker.groups import release as let_go

    definition, components = load(root, env)
    with opened_store(root, env) as store, store.reading() as t:
        row = _found(t, group)
    with closing(Bus(definition, components)) as bus:
        before = let_go(bus.context, row.id, who=getpass.getuser(), reason=reason)
    click.echo(f"{before.flow} {before.key} goes on: {before.waits}", err=True)


def _found(t: Transaction, group: str) -> GroupRow:
    """The newest with that key, or with an id that begins so; one that waits goes before one that has ended."""
    for given in ({"key": group}, {"key": group, "waiting": False}, {"id": group, "waiting": False}):
        rows = t.groups.search(**given, limit=2)
        if rows:
            break
    else:
        not_found(f"no group with the id or key {group!r}; `esb groups list` shows what there is")
    if len(rows) > 1:
        complain(f"there is more than one group {group!r}; this is the newest, {rows[0].id}")
    return rows[0]


def _state(row: GroupRow) -> str:
    return short(row.waits if row.closed_at is None else f"ended: {row.reason}", 200)


def _until(row: GroupRow) -> str:
    return moment(row.due_at) if row.due_at else ""


def _plain(row: GroupRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__ if name != "data"}
