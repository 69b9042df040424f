"""Of messages that keep their order, one of each key is under way in a worker; the others wait in its hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from esb.broker.port import Delivery
from esb.store import Stand, Transaction
from esb.worker.lines import Lines, order_key
from esb.worker.verdict import Verdict


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
        ordered = [delivery for delivery in taken if order_key(delivery)]
        if not ordered:
            return list(taken)
        free, behind, standing = self._lines.sort(ordered)
        self._lines.hold(behind)
        self._joined |= {id(delivery): delivery for delivery in behind}
        self._standing |= standing
        start = [delivery for delivery in taken if not order_key(delivery)]
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
        key, later = order_key(delivery), verdict.outgoing or verdict.timer
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
        if key := order_key(delivery):
            t.held.stop([self._lines.row(delivery, key, Stand.OUT)], 0.0)
            self._join(t, [key])

    def ended(self, deliveries: Sequence[Delivery]) -> None:
        """The commit stands: these are under way no more, and those behind them have their turn."""
        for delivery in deliveries:
            if not (key := order_key(delivery)):
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
        hand = self._hand.setdefault(order_key(delivery), deque())
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
