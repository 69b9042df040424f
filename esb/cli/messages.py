"""`esb messages`: what went through the bus, newest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import directory, json_output, moment, opened_store, print_json, print_table, short, told
from esb.cli.places import refuse_unknown

if TYPE_CHECKING:
    from esb.store import Hop, Status


NARROW = (("error", 30), ("message", 18), ("received", 8), ("error", 8), ("subject", 10))


@click.command("messages")
@directory
@click.argument("search", required=False)
@click.option("--type", "type_", help="Only this type, such as order.placed.")
@click.option(
    "--at", "place", help="Only this place: in:ENDPOINT, flow:NAME, saga:NAME, out:ENDPOINT; 'out:' for all of a sort."
)
@click.option("--status", multiple=True, help="Only this status, such as parked or completed; may be repeated.")
@click.option("--since", help="Only what came in the last 15m, 2h, 1d …")
@click.option("--tests", is_flag=True, help="Also test messages, and what came of them.")
@click.option("-n", "--limit", default=30, show_default=True, type=click.IntRange(1, 10_000), help="Most to show.")
@json_output
@told
def command(
    root: str, env: str | None, search: str | None, type_: str | None, place: str | None, status: tuple[str, ...],
    since: str | None, tests: bool, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """List messages. SEARCH is a business key or an id, or the beginning of one, or a correlation id."""
    wanted = [_status(word) for word in status]
    after = time.time() - _seconds(since) if since else None
    with opened_store(root, env) as store:
        with store.reading() as t:
            filters: dict[str, Any] = {
                "type": type_ or "",
                "place": place or "",
                "status": wanted,
                "since": after,
                "tests": tests,
                "limit": limit,
            }
            hops = t.tracking.find(**t.tracking.meaning(search or ""), **filters)
        if place and not hops:
            refuse_unknown(place, root, env, store)
    if as_json:
        print_json([_plain(hop) for hop in hops])
        return
    rows = [
        (moment(h.received_at), h.subject, h.type, h.place, h.status.label, short(h.error, 200), h.message_id)
        for h in hops
    ]
    print_table(("received", "subject", "type", "at", "status", "error", "message"), rows, shrink=NARROW)
    click.echo(f"{len(hops)} shown; `esb trace SUBJECT` shows a journey" if hops else "no messages", err=True)


def _plain(hop: Hop) -> dict[str, object]:
    names = (
        "message_id", "place", "operation", "correlation_id", "causation_id", "type", "version", "source", "subject",
        "time", "received_at", "ended_at", "attempts", "error_kind", "error", "detail",
    )  # fmt: skip
    return {**{name: getattr(hop, name) for name in names}, "status": hop.status.label}


def _status(word: str) -> Status:
    from esb.store import Status

    try:
        return Status[word.upper().replace(" ", "_").replace("-", "_")]
    except KeyError:
        raise click.BadParameter(f"one of {', '.join(s.label for s in Status)}", param_hint="--status") from None


def _seconds(text: str) -> float:
    from esb.units import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
