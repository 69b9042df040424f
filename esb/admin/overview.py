"""The overview: does it run, how much passes, what is stuck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flask
import msgspec

from esb.admin import pages
from esb.admin.glimpse import Glimpse
from esb.admin.services import Services
from esb.broker.port import Depth, inbound_queue
from esb.store import Status, Transaction, Trouble
from esb.store.figures import percentile
from esb.worker.queues import queue_of, queues_to

SHOWN = 8  # causes, troubles and queues at most; the rest is behind a link
_RECENT = 300.0  # seconds that say how much passes now


class Span(NamedTuple):
    """What the bars show: so many intervals of ``width`` seconds, and the words for it."""

    title: str
    width: float
    intervals: int
    ago: str
    each: str


SPANS = {
    "hour": Span("last hour", 60.0, 60, "an hour ago", "each minute"),
    "day": Span("last 24 hours", 1800.0, 48, "a day ago", "each half hour"),
    "week": Span("last 7 days", 10800.0, 56, "a week ago", "each three hours"),
}


class Traffic(msgspec.Struct):
    """What passed in a span. ``bars``: (start, end, entered, parked) of each interval."""

    bars: Sequence[tuple[float, float, int, int]]
    entered: int
    parked: int
    per_second: float
    latency: Mapping[str, float | None]


class Standing(msgspec.Struct):
    """What stands still now."""

    parked: int
    oldest: float | None
    retrying: int
    in_doubt: int
    causes: Sequence[Any]
    trouble: Sequence[Trouble]


def blueprint(services: Services) -> flask.Blueprint:
    """``/``."""
    area = flask.Blueprint("overview", __name__)
    queues = _queues(services)
    glimpse = Glimpse(lambda: (services.broker.check(), services.broker.depths(queues)), services.clock)

    @area.get("/")
    def index() -> Any:
        chosen = pages.arg("over", "hour")
        span = SPANS.get(chosen, SPANS["hour"])
        now = services.clock()
        with services.store.reading() as t:
            traffic, standing = _traffic(t, span, now), _standing(t)
            breakers = [row for row in t.breakers.read_all().values() if row.state != "closed"]
            pauses, stuck = t.pauses.all().values(), t.sagas.search(status=("stuck",), limit=100)
            stopped = t.switches.all("flow")
            processes = [_process(name) for name in t.leases.roles()]
            active = t.definitions.active_hash()
        broker, silent = glimpse.look()
        return flask.render_template(
            "overview/index.html", traffic=traffic, standing=standing, breakers=breakers, processes=processes,
            pauses=pauses, stopped=stopped, stuck=len(stuck),
            broker=broker[0] if broker else "", broker_error=silent, depths=_depths(broker[1] if broker else {}),
            store=services.store.check(), active=active, definition=services.definition, spans=SPANS, span=span,
            shown=SHOWN,
        )  # fmt: skip

    return area


def _traffic(t: Transaction, span: Span, now: float) -> Traffic:
    """The intervals end at full ones, so that bars keep their place from one look to the next."""
    end = (now // span.width + 1) * span.width
    since = end - span.width * span.intervals
    entered, failed = t.figures.entered(since, span.width), t.figures.failed(since, span.width)
    starts = [since + n * span.width for n in range(span.intervals)]
    recent = t.figures.entered(now - _RECENT, _RECENT)
    latencies = t.figures.latencies(since)
    return Traffic(
        bars=[(at, at + span.width, entered.get(n, 0), failed.get(n, 0)) for n, at in enumerate(starts)],
        entered=sum(entered.values()),
        parked=sum(failed.values()),
        per_second=sum(recent.values()) / _RECENT,
        latency={f"p{share}": percentile(latencies, share / 100) for share in (50, 95, 99)},
    )


def _standing(t: Transaction) -> Standing:
    parked, oldest = t.figures.waiting()
    open = t.figures.open()
    return Standing(
        parked=parked,
        oldest=oldest,
        retrying=open.get(Status.RETRYING, 0),
        in_doubt=open.get(Status.IN_DOUBT, 0),
        causes=t.parked.groups(),
        trouble=t.figures.trouble(SHOWN),
    )


def _process(name: str) -> tuple[str, str]:
    """``bus@machine:4711`` as its role, and where it is."""
    role, _, where = name.partition("@")
    machine, _, pid = where.rpartition(":")
    return role, f"{machine}, process {pid}"


def _queues(services: Services) -> list[str]:
    definition = services.definition
    queues = [queue_of(flow) for flow in definition.flows.values()]
    queues += [q for e in definition.endpoints.values() if e.operations for q in queues_to(definition, e.name)]
    return queues + [inbound_queue(e.name) for e in definition.endpoints.values() if e.receive]


def _depths(depths: Mapping[str, Depth]) -> list[tuple[str, Depth]]:
    """Queues where something lies, the fullest first."""
    filled = [(name, depth) for name, depth in depths.items() if depth.ready or depth.unsettled > 0]
    return sorted(filled, key=lambda one: -one[1].ready - max(one[1].unsettled, 0))
