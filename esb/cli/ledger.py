"""`esb ledger`: what became of every message and of every obligation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from esb.cli.common import directory, json_output, opened_store, print_json, told

if TYPE_CHECKING:
    from esb.store import Ledger


@click.command("ledger")
@directory
@json_output
@told
def command(root: str, env: str | None, as_json: bool) -> None:
    """Count what became of all messages the store remembers; the sums must add up."""
    with opened_store(root, env) as store, store.reading() as t:
        ledger = t.tracking.ledger()
    if as_json:
        print_json(plain(ledger))
    else:
        show(ledger)


def show(ledger: Ledger) -> None:
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
    click.echo("settled: nothing is under way" if ledger.settled else "not settled: messages are under way", err=True)


def plain(ledger: Ledger) -> dict[str, object]:
    """The numbers for programs."""
    names = [name for name in ledger.__struct_fields__ if name not in ("flows", "parked_by")]
    parked = [{"kind": kind, "at": place, "count": count} for kind, place, count in ledger.parked_by]
    flows = {place: {str(status): n for status, n in counts.items()} for place, counts in ledger.flows.items()}
    return {
        **{name: getattr(ledger, name) for name in names},
        "in_flight": ledger.in_flight, "settled": ledger.settled, "flows": flows, "parked_by": parked,
    }  # fmt: skip


def _line(name: str, count: int) -> None:
    if count or name in ("completed", "done", "parked"):
        click.echo(f"  {count:>8}  {name.replace('_', ' ')}")
