"""`esb ledger`: what became of every message and of every obligation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from esb.cli.common import directory, json_output, opened_store, print_json, told

if TYPE_CHECKING:
    from esb.store import Ledger, Store

BETWEEN = 0.2  # seconds between two looks


@click.command("ledger")
@directory
@json_output
@told
def command(root: str, env: str | None, as_json: bool) -> None:
    """Count what became of all messages the store remembers; the sums must add up."""
    with opened_store(root, env) as store:
        ledger, settled = _look(store)
    if as_json:
        print_json(plain(ledger, settled))
    else:
        show(ledger, settled)


def _look(store: Store) -> tuple[Ledger, bool]:
    """The ledger, and whether it has settled: where it seems so, a second look tells."""
    before = _read(store)
    if not before.settled:
        return before, False
    time.sleep(BETWEEN)
    ledger = _read(store)
    return ledger, ledger.still_settled(before)


def _read(store: Store) -> Ledger:
    with store.reading() as t:
        return t.tracking.ledger()


def show(ledger: Ledger, settled: bool) -> None:
    """Two sums, and the parked by reason."""
    click.secho(f"accepted {ledger.accepted}", bold=True)
    for name in ("completed", "filtered", "duplicate", "unsubscribed", "parked", "discarded", "in_progress"):
        _line(name, getattr(ledger, name))
    click.secho(f"sent to endpoints {ledger.sent}", bold=True)
    outs = {
        "done": ledger.done,
        "compensated": ledger.compensated,
        "rejected": ledger.rejected,
        "parked": ledger.out_parked,
    }
    outs |= {
        "in doubt": ledger.in_doubt,
        "discarded": ledger.out_discarded,
        "retrying": ledger.retrying,
        "in flight": ledger.in_flight,
    }
    for name, count in outs.items():
        _line(name, count)
    click.secho(f"events published {ledger.published}", bold=True)
    _line("unsubscribed", ledger.events_unsubscribed)
    if ledger.sagas:
        click.secho(f"sagas {sum(ledger.sagas.values())}", bold=True)
    for status, count in sorted(ledger.sagas.items()):
        _line(status, count)
    if ledger.parked_by:
        click.secho("parked, by reason", bold=True)
    for kind, place, count in ledger.parked_by:
        click.echo(f"  {count:>8}  {kind} at {place}")
    click.echo("settled: nothing is under way" if settled else "not settled: messages are under way", err=True)


def plain(ledger: Ledger, settled: bool) -> dict[str, object]:
    """The numbers for programs."""
    names = [name for name in ledger.__struct_fields__ if name not in ("flows", "parked_by")]
    parked = [{"kind": kind, "at": place, "count": count} for kind, place, count in ledger.parked_by]
    flows = {place: {str(status): n for status, n in counts.items()} for place, counts in ledger.flows.items()}
    return {
        **{name: getattr(ledger, name) for name in names},
        "in_flight": ledger.in_flight, "settled": settled, "flows": flows, "parked_by": parked,
    }  # fmt: skip


def _line(name: str, count: int) -> None:
    if count or name in ("completed", "done", "parked"):
        click.echo(f"  {count:>8}  {name.replace('_', ' ')}")
