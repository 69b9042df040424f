"""Holding back: an input whose results met a full queue waits in a delay queue and runs again, with the same ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from esb.broker.port import Consumer, Delivery, Outcome, Outgoing
from esb.message import Message
from esb.store import Hop, Status
from esb.worker.rows import Journal

FULL = 5.0  # seconds to hold back


def hold_back(consumer: Consumer, deliveries: Sequence[Delivery], record: Callable[[Sequence[Delivery]], None]) -> None:
    """So a full queue never stops the queue in front of it.

    Args:
        consumer: who took them.
        deliveries: what has to wait; what not even the delay queue takes goes back to its place.
        record: called with those that wait, before they are settled.
    """
    batch = [Outgoing(d.message, d.queue, delay=FULL, properties=dict(d.properties)) for d in deliveries]
    missed: list[Delivery] = []

    def conclude(outcomes: Sequence[Outcome]) -> Sequence[Delivery]:
        pairs = list(zip(deliveries, outcomes, strict=True))
        missed.extend(delivery for delivery, outcome in pairs if outcome is not Outcome.CONFIRMED)
        held = [delivery for delivery, outcome in pairs if outcome is Outcome.CONFIRMED]
        record(held)
        return held

    consumer.transfer(batch, conclude)
    if missed:
        consumer.release(missed)


def held_hop(journal: Journal, message: Message, place: str, now: float, **more: Any) -> Hop:
    """What the journey says of it meanwhile."""
    text = "a result met a full queue; the input waits and runs again"
    return journal.hop(
        message, place, Status.RETRYING, ended_at=now, error_kind="queue full", error=text, **more
    ).sanitised()
