"""The broker without a server and without a file: queues in this process's memory, for test cases.

It owes what any broker owes (the shipped suite runs on it), except that nothing outlives its process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush

import msgspec

from esb.broker import port
from esb.broker.port import Delivery, Depth, Outcome, Outgoing, Topology
from esb.broker.topics import matches
from esb.errors import LeaseLost
from esb.message import Message


class _Entry(msgspec.Struct, eq=False):
    """A message in a queue. ``number`` is its place among all."""

    number: int
    message: Message
    properties: Mapping[str, str]
    redelivered: bool = False


class _Queue(msgspec.Struct, eq=False):
    name: str
    events: set[str]
    limit: int = 0
    single: bool = False
    holder: object = None  # the consumer that takes, where one does at a time
    waiting: deque[_Entry] = msgspec.field(default_factory=deque)
    taken: int = 0

    def may_be_taken(self, by: object) -> bool:
        """Whether ``by`` is the one that takes, or becomes it."""
        if self.single and self.holder is None:
            self.holder = by
        return not self.single or self.holder is by

    def put_back(self, entries: Iterable[_Entry]) -> None:
        """At their places."""
        self.waiting = deque(sorted((*entries, *self.waiting), key=lambda entry: entry.number))


class MemoryBroker:
    """See :class:`esb.broker.port.Broker`. All of it may be called from any thread.

    Args:
        clock: epoch seconds; delays go by it.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._delayed: list[tuple[float, int, str, _Entry]] = []
        self._count = 0

    def declare(self, topology: Topology) -> None:
        """See :meth:`esb.broker.port.Broker.declare`."""
        with self._changed:
            for wanted in topology.queues:
                queue = self._queues.setdefault(wanted.name, _Queue(wanted.name, set(), single=wanted.single))
                queue.events |= set(wanted.events)
                queue.limit = wanted.limit
            for name, key in topology.stale:
                if name in self._queues:
                    self._queues[name].events.discard(key)

    def publisher(self, name: str = "") -> MemoryPublisher:
        """See :meth:`esb.broker.port.Broker.publisher`."""
        return MemoryPublisher(self)

    def consumer(self, queues: Sequence[str], prefetch: int, name: str = "") -> MemoryConsumer:
        """See :meth:`esb.broker.port.Broker.consumer`."""
        return MemoryConsumer(self, queues, prefetch)

    def depths(self, queues: Sequence[str]) -> dict[str, Depth]:
        """See :meth:`esb.broker.port.Broker.depths`."""
        with self._changed:
            self._promote()
            found = {name: self._queues[name] for name in queues if name in self._queues}
            depths = {name: Depth(len(queue.waiting), queue.taken) for name, queue in found.items()}
            return {**depths, "delayed": Depth(len(self._delayed))}

    def purge(self, queue: str) -> int:
        """See :meth:`esb.broker.port.Broker.purge`."""
        with self._changed:
            count = len(self._queues[queue].waiting)
            self._queues[queue].waiting.clear()
            return count

    def check(self) -> str:
        """See :meth:`esb.broker.port.Broker.check`."""
        return "a broker in this process's memory"

    def hazard(self) -> str:
        """See :meth:`esb.broker.port.Broker.hazard`."""
        return ""

    def close(self) -> None:
        """Nothing to let go: what it holds goes with the object."""

    # --- for publishers and consumers -------------------------------------------------------------------------------

    def put(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Publish a batch. An event goes to all its queues or, when one of them is full, to none."""
        with self._changed:
            outcomes = [self._put(outgoing) for outgoing in batch]
            self._changed.notify_all()
        return outcomes

    def foresee(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """What :meth:`put` would say now."""
        with self._changed:
            room = {name: queue.limit - len(queue.waiting) for name, queue in self._queues.items() if queue.limit}
            return [self._outcome(self._targets(outgoing), room) for outgoing in batch]

    def take(
        self, queues: Sequence[str], limit: int, octets: int, timeout: float, woken: Callable[[], bool], by: object
    ) -> list[Delivery]:
        """Up to ``limit``, fairly from all queues; empty after ``timeout`` seconds, or once ``woken``.

        No further ones once their bodies have ``octets`` bytes together.

        ``by`` is who takes: from a single queue nobody else does.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (found := self._take(queues, limit, octets, by)):
                left = min(deadline - time.monotonic(), self._until_due())
                if woken() or deadline <= time.monotonic():
                    break
                self._changed.wait(max(left, 0.0))
            return found

    def settle(self, deliveries: Iterable[Delivery]) -> None:
        """These are done with."""
        with self._changed:
            for delivery in deliveries:
                self._queues[delivery.queue].taken -= 1

    def give_back(self, deliveries: Sequence[Delivery], blamed: bool) -> None:
        """These were not settled."""
        with self._changed:
            for name in {delivery.queue for delivery in deliveries}:
                entries = [delivery.token for delivery in deliveries if delivery.queue == name]
                for entry in entries:
                    entry.redelivered = entry.redelivered or blamed
                self._queues[name].put_back(entries)
                self._queues[name].taken -= len(entries)
            self._changed.notify_all()

    def leave(self, consumer: object) -> None:
        """A consumer is gone: from its single queues the next one takes."""
        with self._changed:
            for queue in self._queues.values():
                queue.holder = None if queue.holder is consumer else queue.holder
            self._changed.notify_all()

    def notify(self) -> None:
        """Let everybody who waits look again."""
        with self._changed:
            self._changed.notify_all()

    # --- below the lock ---------------------------------------------------------------------------------------------

    def _put(self, outgoing: Outgoing) -> Outcome:
        targets = self._targets(outgoing)
        outcome = self._outcome(targets, {queue.name: queue.limit - len(queue.waiting) for queue in targets})
        if outcome is Outcome.CONFIRMED:
            for queue in targets:
                self._count += 1
                entry = _Entry(self._count, outgoing.message, dict(outgoing.properties))
                if outgoing.delay > 0:
                    heappush(self._delayed, (self._clock() + outgoing.delay, self._count, queue.name, entry))
                else:
                    queue.waiting.append(entry)
        return outcome

    def _targets(self, outgoing: Outgoing) -> list[_Queue]:
        if not outgoing.event:
            return [self._queues[outgoing.to]] if outgoing.to in self._queues else []
        return [q for q in self._queues.values() if any(matches(pattern, outgoing.to) for pattern in q.events)]

    def _outcome(self, targets: Sequence[_Queue], room: dict[str, int]) -> Outcome:
        if not targets:
            return Outcome.RETURNED
        limited = [queue.name for queue in targets if queue.limit]
        if any(room[name] <= 0 for name in limited):
            return Outcome.REFUSED
        for name in limited:
            room[name] -= 1
        return Outcome.CONFIRMED

    def _take(self, queues: Sequence[str], limit: int, octets: int, by: object) -> list[Delivery]:
        self._promote()
        found: list[Delivery] = []
        known = [self._queues[name] for name in queues if name in self._queues]
        waiting = [queue for queue in known if queue.may_be_taken(by)]
        while len(found) < limit and octets > 0 and any(queue.waiting for queue in waiting):
            for queue in waiting:
                if queue.waiting and len(found) < limit and octets > 0:
                    entry = queue.waiting.popleft()
                    queue.taken += 1
                    octets -= len(entry.message.body)
                    found.append(Delivery(entry.message, queue.name, entry, entry.redelivered, entry.properties))
        return found

    def _promote(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, name, entry = heappop(self._delayed)
            self._count += 1
            entry.number = self._count
            self._queues[name].waiting.append(entry)

    def _until_due(self) -> float:
        return self._delayed[0][0] - self._clock() if self._delayed else 3600.0


class MemoryPublisher:
    """See :class:`esb.broker.port.Publisher`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def publish(self, batch: Iterable[Outgoing]) -> list[Outcome]:
        """One outcome per message, in order."""
        return self._broker.put(list(batch))

    def close(self) -> None:
        """Nothing to let go."""


class MemoryTransfer:
    """See :class:`esb.broker.port.Transfer`. Results and settlements are made together, behind the commit."""

    answered = True

    def __init__(self, consumer: MemoryConsumer, batch: Sequence[Outgoing]) -> None:
        self._consumer = consumer
        self._batch = batch
        self._outcomes = consumer.broker.foresee(batch)

    def conclude(self, commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See :meth:`esb.broker.port.Transfer.conclude`."""
        settled = commit(list(self._outcomes))
        self._consumer.settle(settled)
        pairs = zip(self._batch, self._outcomes, strict=True)
        self._consumer.broker.put([outgoing for outgoing, outcome in pairs if outcome is Outcome.CONFIRMED])


class MemoryConsumer:
    """See :class:`esb.broker.port.Consumer`."""

    def __init__(self, broker: MemoryBroker, queues: Sequence[str], prefetch: int) -> None:
        self.broker = broker
        self._queues = tuple(queues)
        self._prefetch = prefetch
        self._most_octets = port.MOST_OCTETS
        self._held: dict[int, Delivery] = {}  # by the number of the entry
        self._paused = False
        self._woken = False

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """See :meth:`esb.broker.port.Consumer.take`."""
        room = 0 if self._paused else min(limit, self._prefetch - len(self._held))
        octets = self._most_octets - sum(len(delivery.message.body) for delivery in self._held.values())
        queues = self._queues if room > 0 and octets > 0 else ()
        found = self.broker.take(queues, room, octets, timeout, lambda: self._woken, self)
        self._woken = False
        self._held |= {delivery.token.number: delivery for delivery in found}
        return found

    def begin(self, batch: Iterable[Outgoing]) -> MemoryTransfer:
        """See :meth:`esb.broker.port.Consumer.begin`."""
        return MemoryTransfer(self, list(batch))

    def transfer(self, batch: Iterable[Outgoing], commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See :meth:`esb.broker.port.Consumer.transfer`."""
        self.begin(batch).conclude(commit)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`esb.broker.port.Consumer.settle`."""
        self.broker.settle(self._let_go(deliveries))

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`esb.broker.port.Consumer.release`."""
        self.broker.give_back(self._let_go(deliveries), blamed=False)

    def pause(self) -> None:
        """See :meth:`esb.broker.port.Consumer.pause`. Nothing is prefetched here."""
        self._paused = True

    def resume(self) -> None:
        """See :meth:`esb.broker.port.Consumer.resume`."""
        self._paused = False

    def wake(self) -> None:
        """See :meth:`esb.broker.port.Consumer.wake`."""
        self._woken = True
        self.broker.notify()

    def close(self) -> None:
        """See :meth:`esb.broker.port.Consumer.close`."""
        held, self._held = list(self._held.values()), {}
        self.broker.give_back(held, blamed=True)
        self.broker.leave(self)

    def _let_go(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        ours = [delivery for delivery in deliveries if self._held.pop(delivery.token.number, None)]
        if len(ours) < len(deliveries):
            self.broker.settle(ours)
            raise LeaseLost(f"{len(deliveries) - len(ours)} of {len(deliveries)} messages could not be settled")
        return ours
