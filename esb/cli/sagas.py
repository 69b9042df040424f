"""`esb sagas`: sagas with their steps; retry, skip, compensate, end. Every act is audited with who and why."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
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
    from esb.saga import Saga
    from esb.saga.state import ActName
    from esb.store import SagaRow, Transaction

MOST = 100_000
STATUSES = ("running", "compensating", "stuck", "completed", "compensated", "ended")
COLOURS = {"completed": "green", "compensated": "yellow", "stuck": "red", "compensating": "yellow"}


@click.group("sagas")
def command() -> None:
    """List and show sagas; retry, skip, compensate or end one."""


@command.command("list")
@directory
@click.option("--name", default="", help="Only this saga.")
@click.option("--key", default="", help="Only this business key.")
@click.option("--status", multiple=True, type=click.Choice(STATUSES), help="Only this state; may be given again.")
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(1, MOST), help="Most to show.")
@json_output
@told
def list_(root: str, env: str | None, name: str, key: str, status: Sequence[str], limit: int, as_json: bool) -> None:
    """List sagas, the newest first."""
    with opened_store(root, env) as store, store.reading() as t:
        rows = t.sagas.search(name=name, key=key, status=status, limit=limit)
    if as_json:
        return print_json([_plain_row(row) for row in rows])
    print_table(
        ("started", "saga", "key", "status", "step", "reason", "id"),
        [(moment(r.started_at), r.name, r.key, r.status, r.step, short(r.reason, 200), r.id) for r in rows],
        shrink=(("reason", 30), ("id", 18), ("started", 8), ("reason", 8), ("key", 10)),
    )
    click.echo(f"{len(rows)} sagas" if rows else "no sagas", err=True)
    return None


@command.command("show")
@directory
@click.argument("saga")
@json_output
@told
def show(root: str, env: str | None, saga: str, as_json: bool) -> None:
    """Show the newest saga with this id (or its beginning) or business key: its steps, its history, its acts."""
    from esb.worker.saga_round import saga_of

    with opened_store(root, env) as store, store.reading() as t:
        row = t.sagas.get(_found(t, saga).id)
    if row is None:
        not_found(f"saga {saga!r} has just been removed by retention")
    found = saga_of(row)
    if as_json:
        print_json(_plain(row, found))
    else:
        _show(found)


def _show(saga: Saga) -> None:
    status = click.style(saga.status, fg=COLOURS.get(saga.status), bold=True)
    click.echo(f"{click.style(printable(saga.key), bold=True)}  {saga.name}, {status}  ({saga.id})")
    if saga.reason:
        click.echo(f"  {printable(saga.reason)}")
    rows = [
        (state.name, _word(state.action.state), _word(state.undo.state), state.undo.error or state.action.error)
        for state in saga.steps
    ]
    print_table(("step", "action", "compensation", "error"), rows, shrink=(("error", 20),))
    for entry in saga.history:
        what = " ".join(filter(None, (entry.step, entry.what)))
        click.echo(f"  {moment(entry.at)}  {what}" + (f"  {printable(entry.detail)}" if entry.detail else ""))
    if saga.acts():
        click.echo(f"possible now: {', '.join(saga.acts())}", err=True)


def _word(state: str) -> str:
    return "" if state == "none" else state


def _acts(name: ActName, about: str, ask: str = "") -> None:
    """One command an act."""

    def perform(root: str, env: str | None, saga: str, reason: str, yes: bool = True) -> None:
        _perform(root, env, saga, name, reason, "" if yes else ask)

    perform.__doc__ = about
    chain: Callable[..., Any] = told(perform)
    if ask:
        chain = click.option("--yes", is_flag=True, help="Do not ask.")(chain)
    chain = click.option("--why", "--reason", "reason", required=True, help="The reason, for the audit.")(chain)
    command.command(name)(directory(click.argument("saga")(chain)))


def _perform(root: str, env: str | None, saga: str, name: ActName, reason: str, ask: str) -> None:
    from esb.bus import Bus
    from esb.worker.saga_acts import act

    definition, components = load(root, env)
    with opened_store(root, env) as store, store.reading() as t:
        row = _found(t, saga)
    if ask:
        click.confirm(f"{ask} {row.name} {row.key} ({row.status})?", abort=True, err=True)
    with closing(Bus(definition, components)) as bus:
        after = act(bus.context, row.id, name, who=getpass.getuser(), reason=reason)
    click.echo(f"{row.name} {row.key}: {row.status} → {after.status}", err=True)


def _found(t: Transaction, saga: str) -> SagaRow:
    """The newest with an id that begins so, or with that key."""
    rows = t.sagas.search(key=saga, limit=2) or t.sagas.search(id=saga, limit=2)
    if not rows:
        not_found(f"no saga with the id or key {saga!r}; `esb sagas list` shows what there is")
    if len(rows) > 1:
        complain(f"there is more than one saga {saga!r}; this is the newest, {rows[0].id}")
    return rows[0]


def _plain_row(row: SagaRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__ if name != "data"}


def _plain(row: SagaRow, saga: Saga) -> dict[str, Any]:
    """For programs; documents stay out, for they may hold what contracts mask."""
    steps = [{"name": s.name, "action": s.action, "compensation": s.undo} for s in saga.steps]
    return {**_plain_row(row), "steps": steps, "history": saga.history, "acts": saga.acts()}


_acts("retry", "Send the call again at which SAGA is stuck.")
_acts("skip", "Go on as if the step of SAGA had taken place, or were undone: you answer for it.", "Skip the step of")
_acts("compensate", "Turn SAGA back now: undo what took place.", "Turn back")
_acts("end", "End SAGA as it is: nothing more is sent, nothing is undone.", "End")
