"""`esb flows purge` and `esb endpoints purge`: take away what waits in a queue, once that is confirmed."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import click

from esb.cli.common import confirm, counted, load, unknown


def purge_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands ask for."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--keep", is_flag=True, help="Leave them parked, to be retried or discarded later."),
        click.option("--why", required=True, help="The reason; it stands in the audit and at each message."),
    ):
        command = option(command)
    return command


def purge_queue(root: str, env: str | None, kind: str, name: str, why: str, keep: bool, yes: bool) -> None:
    """Purge the queue of a flow or an endpoint (``kind``), and say how many messages that were."""
    from esb.bus import make_upkeep, open_doors
    from esb.worker.purge import Channel, Reason, purge

    definition, components = load(root, env)
    known = definition.flows if kind == "flow" else definition.endpoints
    if name not in known:
        unknown(kind, name, known)
    channel = Channel.of_flow(name) if kind == "flow" else Channel.of_endpoint(name)
    with ExitStack() as closing:
        broker, store = open_doors(definition, closing)
        store.require_current()
        depths = channel.depths(broker).values()
        waiting, held = sum(d.ready for d in depths), sum(max(d.unsettled, 0) for d in depths)
        if not waiting:
            click.echo(f"nothing waits for {kind} {name}", err=True)
            return
        confirm(f"Take {counted(waiting, 'message')} out of the queue of {kind} {name}?", yes)
        upkeep, _ = make_upkeep(definition, components, broker, store)
        reason = Reason(getpass.getuser(), why, keep)
        count = _with_progress(waiting, lambda told: purge(
            broker, store, upkeep.journal(), channel, reason, time.time, told
        ))  # fmt: skip
    _tell(f"{kind} {name}", count, held + waiting - count, keep)


def _with_progress(count: int, work: Callable[[Callable[[int], None]], int]) -> int:
    with click.progressbar(length=count, label="purging", file=sys.stderr) as bar:
        return work(bar.update)


def _tell(place: str, count: int, held: int, keep: bool) -> None:
    became = "parked: `esb failed list` shows them" if keep else "discarded, and readable until retention removes them"
    click.echo(f"{counted(count, 'message')} taken out of the queue of {place} and {became}", err=True)
    if held > 0:
        hint = "pause it first, or stop the bus where an order is kept"
        click.echo(f"{held} more are in the hands of a running bus, which goes on with them: {hint}", err=True)
