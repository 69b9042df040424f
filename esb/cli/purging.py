"""`esb flows purge` and `esb endpoints purge`: take away what waits in a queue, once that is confirmed."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import confirm, counted, load, unknown

if TYPE_CHECKING:
    from esb.worker.purge import Channel


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
    if kind == "flow":
        channel = Channel.of_flow(name, ordered=bool(definition.flows[name].ordering))
    else:
        channel = Channel.of_endpoint(name)
    with ExitStack() as closing:
        broker, store = open_doors(definition, closing)
        store.require_current()
        depth = broker.depths([channel.queue]).get(channel.queue)
        if depth is None or not depth.ready:
            click.echo(f"nothing waits for {kind} {name}", err=True)
            return
        confirm(f"Take {counted(depth.ready, 'message')} out of the queue of {kind} {name}?", yes)
        upkeep, _ = make_upkeep(definition, components, broker, store)
        reason = Reason(getpass.getuser(), why, keep)
        count = _with_progress(depth.ready, lambda told: purge(
            broker, store, upkeep.journal(), channel, reason, time.time, told
        ))  # fmt: skip
    _tell(channel, count, depth.unsettled, keep)


def _with_progress(count: int, work: Callable[[Callable[[int], None]], int]) -> int:
    with click.progressbar(length=count, label="purging", file=sys.stderr) as bar:
        return work(bar.update)


def _tell(channel: Channel, count: int, held: int, keep: bool) -> None:
    became = "parked: `esb failed list` shows them" if keep else "discarded, and readable until retention removes them"
    click.echo(f"{counted(count, 'message')} taken out of {channel.queue} and {became}", err=True)
    if held > 0:
        click.echo(f"{held} more are in the hands of a running bus, which goes on with them: pause it first", err=True)
