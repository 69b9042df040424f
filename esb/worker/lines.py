"""Lines of a place: messages of one key go one after the other, whatever becomes of each.

All messages of a key come from one queue with one consumer at a time. Where one of them fails or waits, it holds up the
others: they are put behind it in the store and settled at the broker, and come again one by one, each when the one
before is over. Nothing here goes through a delay queue, where one message passes another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from esb.broker.port import ORDER, Delivery
from esb.store import Dispatch, Held, Hop, Stand, Status, Transaction
from esb.worker.context import Context
from esb.worker.relay import Relay
from esb.worker.rows import fit
from esb.worker.thread import commit
from esb.worker.verdict import Verdict

LOOK = 1.0  # seconds between looks for what has come to its turn or its time
BATCH = 200
HOLD = 30.0  # seconds in which nobody else publishes what was let go


def key_of(delivery: Delivery) -> str:
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
            firsts = t.held.firsts(self.place, sorted({fit(key_of(d)) for d in deliveries}))
        free = [d for d in deliveries if firsts.get(fit(key_of(d)), fit(d.message.id)) == fit(d.message.id)]
        chosen = {id(delivery) for delivery in free}
        standing = {d.message.id for d in free if fit(key_of(d)) in firsts}
        return free, [d for d in deliveries if id(d) not in chosen], standing

    def hold(self, deliveries: Sequence[Delivery]) -> None:
        """Put them behind the others of their keys; then they are settled."""
        if deliveries:
            commit(self._context.store, lambda t: self.join(t, deliveries), self._stopping)

    def join(self, t: Transaction, deliveries: Sequence[Delivery]) -> None:
        """The same as part of a transaction."""
        now = self._context.clock()
        t.held.join([self.row(d, key_of(d), Stand.WAITING) for d in deliveries], now)
        t.tracking.record([self._hop(d, now) for d in deliveries])

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


class Turns:
    """Whose turn it is among the messages that one endpoint worker has in hand: of each key one is under way."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._hand: dict[str, deque[Delivery]] = {}  # by key; the first is under way
        self._freed: list[Delivery] = []
        self._standing: set[str] = set()  # ids of those in hand that have a place in a line
        self._joined: dict[int, Delivery] = {}  # with the transaction under way

    def admit(self, taken: Sequence[Delivery]) -> list[Delivery]:
        """Those that may start now; what has to wait for something not in hand goes behind it, and is settled by the
        caller: :meth:`settled` has it then."""
        ordered = [delivery for delivery in taken if key_of(delivery)]
        if not ordered:
            return list(taken)
        free, behind, standing = self._lines.sort(ordered)
        self._lines.hold(behind)
        self._joined |= {id(delivery): delivery for delivery in behind}
        self._standing |= standing
        start = [delivery for delivery in taken if not key_of(delivery)]
        return start + [delivery for delivery in free if self._is_first(delivery)]

    def freed(self) -> list[Delivery]:
        """Those whose turn has come."""
        freed, self._freed = self._freed, []
        return freed

    @property
    def any_freed(self) -> bool:
        return bool(self._freed)

    def clear(self) -> None:
        """All that was in hand goes back to the broker."""
        self._hand.clear()
        self._freed.clear()
        self._standing.clear()
        self._joined.clear()

    def kept_back(self, verdict: Verdict, now: float) -> Verdict:
        """What a verdict means where the order is kept: not a delay queue, but a stop of the line."""
        delivery = verdict.attempt.delivery
        key, later = key_of(delivery), verdict.outgoing or verdict.timer
        if key and later is not None:
            due = verdict.timer.due_at if verdict.timer else now + (verdict.outgoing.delay if verdict.outgoing else 0)
            row = self._lines.row(delivery, key, Stand.DUE, due)
            verdict.held = msgspec.structs.replace(row, properties=dict(later.properties))
            verdict.outgoing = verdict.timer = None
        elif key and verdict.parked is not None:
            verdict.held = self._lines.row(delivery, key, Stand.OUT)
        return verdict

    def write(self, t: Transaction, verdicts: Sequence[Verdict], over: Sequence[Verdict], now: float) -> None:
        """Part of the commit that says how these ended. Those behind one that stops the line go behind it there.

        ``over``: of these it was known before.
        """
        stops = [verdict.held for verdict in verdicts if verdict.held]
        if stops:
            t.held.stop(stops, now)
            self._join(t, [stop.key for stop in stops])
        self.over(t, [*(v.attempt.delivery for v in verdicts if not v.held), *(v.attempt.delivery for v in over)])

    def over(self, t: Transaction, deliveries: Sequence[Delivery]) -> None:
        """Nothing more comes of these."""
        t.held.over([(d.message.id, self._lines.place) for d in deliveries if d.message.id in self._standing])

    def stop(self, t: Transaction, delivery: Delivery) -> None:
        """One was set aside without having run."""
        if key := key_of(delivery):
            t.held.stop([self._lines.row(delivery, key, Stand.OUT)], 0.0)
            self._join(t, [key])

    def ended(self, deliveries: Sequence[Delivery]) -> None:
        """The commit stands: these are under way no more, and those behind them have their turn."""
        for delivery in deliveries:
            if not (key := key_of(delivery)):
                continue
            if delivery.message.id in self._standing:
                self._standing.discard(delivery.message.id)
                self._lines.look()
            hand = self._hand.get(key)
            if hand and hand[0] is delivery:
                self._next(key, hand)

    def settled(self) -> list[Delivery]:
        """Those that were put behind others in the store: to be settled."""
        joined, self._joined = list(self._joined.values()), {}
        return joined

    def _is_first(self, delivery: Delivery) -> bool:
        hand = self._hand.setdefault(key_of(delivery), deque())
        hand.append(delivery)
        return len(hand) == 1

    def _join(self, t: Transaction, keys: Sequence[str]) -> None:
        behind = [delivery for key in keys for delivery in list(self._hand.get(key, ()))[1:]]
        self._lines.join(t, behind)
        self._joined |= {id(delivery): delivery for delivery in behind}

    def _next(self, key: str, hand: deque[Delivery]) -> None:
        hand.popleft()
        while hand and id(hand[0]) in self._joined:
            hand.popleft()
        if hand:
            self._freed.append(hand[0])
        else:
            del self._hand[key]
