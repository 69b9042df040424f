"""Lines of a place: messages of one key go one after the other, whatever becomes of each.

All messages of a key come from one queue with one consumer at a time. Where one of them fails or waits, it holds up the
others: they are put behind it in the store and settled at the broker, and come again one by one, each when the one
before is over. Nothing here goes through a delay queue, where one message passes another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec

from esb.broker.port import ORDER, Delivery, flow_queue
from esb.store import Dispatch, Held, Hop, Stand, Status, Transaction
from esb.worker.context import Context
from esb.worker.relay import Relay
from esb.worker.rows import fit
from esb.worker.thread import commit

LOOK = 1.0  # seconds between looks for what has come to its turn or its time
BATCH = 200
HOLD = 30.0  # seconds in which nobody else publishes what was let go


def dissolve(context: Context, flow: str, stopping: threading.Event) -> None:
    """A flow keeps its order no more: what waits in its lines goes on, and nothing waits behind what is out.

    What is out is with somebody else already: under way, or parked.
    """
    place, ordered = f"flow:{flow}", flow_queue(flow, ordered=True)
    found: list[Held] = []

    def write(t: Transaction) -> None:
        found[:] = t.held.dissolve(place, BATCH)
        t.outbox.add([
            Dispatch(message=h.message, to=flow_queue(flow) if h.queue == ordered else h.queue, properties=h.properties)
            for h in found if h.stand is not Stand.OUT
        ])  # fmt: skip

    commit(context.store, write, stopping)
    while len(found) == BATCH and not stopping.is_set():
        commit(context.store, write, stopping)


def order_key(delivery: Delivery) -> str:
    """The key of a message that keeps its order, or nothing."""
    return delivery.properties.get(ORDER, "")


class Lines:
    """What one worker does about the lines of one place. Belongs to its thread."""

    def __init__(self, context: Context, place: str, name: str, stopping: threading.Event) -> None:
        self.place = place
        self._context = context
        self._stopping = stopping
        self._journal = context.journal()
        self._relay = Relay(context, f"{name} lines")
        self._look_at = 0.0

    def sort(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery], set[str]]:
        """Those that may run, those that have to wait, and ids of those of the former that stand in a line."""
        if not deliveries:
            return [], [], set()
        with self._context.store.reading() as t:
            firsts = t.held.firsts(self.place, sorted({fit(order_key(d)) for d in deliveries}))
        free = [d for d in deliveries if firsts.get(fit(order_key(d)), fit(d.message.id)) == fit(d.message.id)]
        chosen = {id(delivery) for delivery in free}
        standing = {d.message.id for d in free if fit(order_key(d)) in firsts}
        return free, [d for d in deliveries if id(d) not in chosen], standing

    def through(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Those of which the journey says that they came to their end here."""
        if not deliveries:
            return []
        with self._context.store.reading() as t:
            ended = t.tracking.ended([fit(delivery.message.id) for delivery in deliveries], self.place)
        return [delivery for delivery in deliveries if fit(delivery.message.id) in ended]

    def hold(self, deliveries: Sequence[Delivery]) -> None:
        """Put them behind the others of their keys; then they are settled."""
        if deliveries:
            now = self._context.clock()
            hops = [self._hop(d, now) for d in deliveries]  # before the store is taken
            commit(self._context.store, lambda t: self._write(t, deliveries, hops, now), self._stopping)

    def join(self, t: Transaction, deliveries: Sequence[Delivery]) -> None:
        """The same as part of a transaction."""
        now = self._context.clock()
        self._write(t, deliveries, [self._hop(d, now) for d in deliveries], now)

    def _write(self, t: Transaction, deliveries: Sequence[Delivery], hops: Sequence[Hop], now: float) -> None:
        t.held.join([self.row(d, order_key(d), Stand.WAITING) for d in deliveries], now)
        t.tracking.record(hops)

    def row(self, delivery: Delivery, key: str, stand: Stand, due_at: float | None = None) -> Held:
        """A message as it stands in its line. What is out is with somebody else, so nothing is kept to let it go."""
        message = delivery.message
        return Held(
            place=self.place, key=key, queue=delivery.queue, stand=stand, due_at=due_at,
            message=msgspec.structs.replace(message, body=b"") if stand is Stand.OUT else message,
            properties={**delivery.properties, ORDER: key},
        )  # fmt: skip

    def look(self) -> None:
        """Something is over: see at once what follows."""
        self._look_at = 0.0

    def let_go(self) -> None:
        """Send on what has come to its turn or its time; once it is through, the next of its key follows."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK
        with self._context.store.reading() as t:
            if not t.held.any(self.place):
                return
        rows: list[Dispatch] = []
        commit(self._context.store, lambda t: self._take(t, rows), self._stopping)
        if rows:
            self._context.point("line: let go")
            sent, _ = self._relay.publish(rows)
            commit(self._context.store, lambda t: t.outbox.sent([row.id for row in sent]), self._stopping)

    def close(self) -> None:
        """What is not published is the sweeper's."""
        self._relay.close()

    def _take(self, t: Transaction, rows: list[Dispatch]) -> None:
        found = t.held.let_go(self.place, self._context.clock(), BATCH)
        dispatches = [Dispatch(message=h.message, to=h.queue, properties=h.properties) for h in found]
        rows[:] = t.outbox.hold(dispatches, self._context.owner, HOLD)

    def _hop(self, delivery: Delivery, now: float) -> Hop:
        return self._journal.hop(
            delivery.message, self.place, Status.RETRYING, operation=delivery.properties.get("operation"),
            received_at=now, ended_at=now, error_kind="held", error="an earlier message of its key is not through yet",
        ).sanitised()  # fmt: skip
