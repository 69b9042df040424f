"""Channel Purger in the browser: what waits for a flow or an endpoint is taken out of its queue, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.presentation import counted
from esb.admin.services import Services
from esb.broker.port import Broker
from esb.worker.purge import Channel, Reason, purge

MOST = 5000  # messages of one act: whoever asks for it waits for the page
KEEP = "keep"  # the field of the form that is sent where they are to stay parked


def install(
    area: flask.Blueprint, services: Services, channel_of: Callable[[str], Channel], find: Callable[[str], Any]
) -> None:
    """Add the act to the pages of flows or of endpoints.

    Args:
        area: whose pages they are.
        services: of the interface.
        channel_of: what is purged, by name.
        find: raises ``NotFound`` for a name that means nothing.
    """

    @area.post("/<name>/purge", endpoint="purge")
    @requires("operator")
    def act(name: str) -> Any:
        find(name)
        reason = Reason(pages.who(), pages.reason(), bool(pages.field(KEEP)))
        pages.notice(*_purged(services, channel_of(name), reason, name))
        return pages.back(flask.url_for(f"{area.name}.show", name=name))


def _purged(services: Services, channel: Channel, reason: Reason, name: str) -> tuple[str, str]:
    """Do it; what came of it, and the tone to say it in."""
    before, held = _waiting(services.broker, channel)
    if not before + held:
        return f"Nothing waits for {name}.", "ok"
    journal = services.context.journal()
    count = purge(services.broker, services.store, journal, channel, reason, services.clock, most=MOST)
    left, held = _waiting(services.broker, channel)
    became = "parked" if reason.keep else "discarded"
    said = [f"{counted(count, 'message')} taken out of the queue of {name}, and {became}."]
    if left:
        said.append(f"Still waiting there: {counted(left, 'message')}; purge once more.")
    if held:
        said.append(f"A running bus has {held} in its hands, and goes on with them: pause {name} first.")
    return " ".join(said), "warn" if left or held else "ok"


def _waiting(broker: Broker, channel: Channel) -> tuple[int, int]:
    """Messages that can be had, and those that somebody has taken already (as far as the broker tells)."""
    depths = channel.depths(broker).values()
    return sum(depth.ready for depth in depths), sum(max(depth.unsettled, 0) for depth in depths)
