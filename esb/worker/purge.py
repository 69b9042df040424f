"""Channel Purger (Hohpe & Woolf): takes away what waits in a queue, with a reason, and without losing it.

What is taken is written down before it is settled: parked as *purged*, and then given up as a person gives up parked
messages, so that a flow or a saga that waits for an answer is told. Whoever dies in between leaves the rest in place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec

from esb.broker.port import Broker, Delivery, Depth, endpoint_queue, flow_queue, line_queues
from esb.errors import EsbError
from esb.store import Hop, Parked, Status, Store
from esb.worker.attempt import operation_of
from esb.worker.rows import Journal, uncounted
from esb.worker.settle import discard

PIECE = 200  # messages of one transaction
PATIENCE = 2.0  # seconds in which a broker hands out what it says waits


class Purged(EsbError):  # noqa: N818 - says what happened
    """Somebody took it out of its queue."""

    kind = "purged"


class Channel(msgspec.Struct, frozen=True):
    """Queues that can be purged, as far as they are there, and the place their messages are at."""

    queues: tuple[str, ...]
    place: str

    @classmethod
    def of_flow(cls, name: str) -> Channel:
        """What waits for a flow. Where it keeps an order, it can be had while the flow is paused."""
        return cls((flow_queue(name), flow_queue(name, ordered=True)), f"flow:{name}")

    @classmethod
    def of_endpoint(cls, name: str) -> Channel:
        """What waits to be sent to an endpoint. Where flows keep an order, it can be had while no bus runs."""
        return cls((endpoint_queue(name), *line_queues(name)), f"out:{name}")

    def depths(self, broker: Broker) -> dict[str, Depth]:
        """What waits in those of its queues that are there."""
        found = broker.depths(self.queues)
        return {queue: found[queue] for queue in self.queues if queue in found}


class Reason(msgspec.Struct, frozen=True):
    """Who purges, and why. ``keep``: what is taken stays parked, to be retried or discarded later."""

    who: str
    why: str
    keep: bool = False


def purge(
    broker: Broker,
    store: Store,
    journal: Journal,
    channel: Channel,
    reason: Reason,
    clock: Callable[[], float],
    told: Callable[[int], None] = lambda count: None,
    most: int = sys.maxsize,
) -> int:
    """Take what waits now; how many messages it was. What comes meanwhile stays.

    A running bus holds some of its messages already: it finishes with those unless it is paused first.

    Args:
        broker, store: of the bus.
        journal: writes the rows.
        channel: what to purge.
        reason: for the audit and for each row.
        clock: epoch seconds.
        told: is told of each piece that is done.
        most: messages that are taken at most.
    """
    depths = channel.depths(broker)
    left = wanted = min(sum(depth.ready for depth in depths.values()), most)
    if not wanted:
        return 0
    consumer = broker.consumer(list(depths), PIECE, "purge")
    try:
        while left and (deliveries := consumer.take(min(PIECE, left), PATIENCE)):
            set_aside(store, deliveries, journal, channel, reason, clock())
            consumer.settle(deliveries)
            left -= len(deliveries)
            told(len(deliveries))
    finally:
        consumer.close()
    with store.transaction() as t:
        t.audit.append(reason.who, "purge", channel.place, reason.why, f"{wanted - left} messages")
    return wanted - left


def set_aside(
    store: Store, deliveries: Sequence[Delivery], journal: Journal, channel: Channel, reason: Reason, now: float
) -> None:
    """Write down what was taken out of a queue; arguments as for :func:`purge`, ``now`` in epoch seconds."""
    cause = Purged(f"taken out of its queue by {reason.who}: {reason.why}")
    rows = [_parked(delivery, journal, channel, cause, now) for delivery in deliveries]
    hops = [_hop(delivery, journal, channel, cause, now) for delivery in deliveries]
    with store.transaction() as t:
        t.tracking.record(hops)
        t.parked.add(rows)
        if not reason.keep:
            discard(t, [row.key for row in rows], reason.who, reason.why)


def _hop(delivery: Delivery, journal: Journal, channel: Channel, cause: Purged, now: float) -> Hop:
    return journal.hop(
        delivery.message, channel.place, Status.PARKED, received_at=now, ended_at=now, error_kind=cause.kind,
        error=str(cause), operation=operation_of(delivery) or None,
    ).sanitised()  # fmt: skip


def _parked(delivery: Delivery, journal: Journal, channel: Channel, cause: Purged, now: float) -> Parked:
    return journal.parked(
        delivery.message, channel.place, delivery.queue, cause, now, operation=operation_of(delivery),
        properties=uncounted(delivery.properties),
    )  # fmt: skip
