"""A broker as cases see it: any broker, with a clock that they move, and everything that passes through it on record.

Delays are kept here and go by that clock. What is on its way is counted, so that it is known when nothing is. Names of
queues and events get a prefix: on a server that serves a bus at the same time neither sees anything of the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count

import msgspec

from esb.broker.port import Broker, Consumer, Delivery, Depth, Outcome, Outgoing, Publisher, Queue, Topology, Transfer
from esb.broker.topics import matches
from esb.errors import BrokerDown

PATIENCE = 30.0  # seconds in which a server must hand out what it has confirmed
EXPIRES = 600.0  # seconds after which a server may forget queues that nobody uses


class Clock:
    """Time that passes when it is told to. Epoch seconds."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Passed(msgspec.Struct, frozen=True):
    """Something that was published, when, and what became of it."""

    outgoing: Outgoing
    at: float
    outcome: Outcome


class Traffic:
    """See :class:`esb.broker.port.Broker`. For one thread."""

    def __init__(self, inner: Broker, clock: Clock, prefix: str = "") -> None:
        """Args: what carries the messages, what its delays go by, and what its names begin with."""
        self._inner = inner
        self.prefix = prefix
        self._bindings: dict[str, set[str]] = {}
        self._missing: dict[str, Queue] = {}  # declared, and not made yet
        self._delayed: list[tuple[float, int, Outgoing]] = []
        self._numbers = count()
        self._consumers: dict[tuple[str, ...], Consumer] = {}
        self._handed: list[_Consumer] = []
        self._publisher: Publisher | None = None
        self.clock = clock
        self.passed: list[Passed] = []
        self.silent: Callable[[Delivery], bool] = lambda delivery: False  # what nobody ever gets to
        self.ready: dict[str, int] = {}  # queues in which something waits, the longest waiting first
        self.open: Counter[str] = Counter()  # taken and not settled, by queue

    # --- the port ---------------------------------------------------------------------------------------------------

    def declare(self, topology: Topology) -> None:
        """See :meth:`esb.broker.port.Broker.declare`. Delays need nothing; a queue that wants no event is made when
        something is to lie there, for most never do."""
        for queue in topology.queues:
            self._bindings.setdefault(queue.name, set()).update(queue.events)
            events = tuple(self.prefix + key for key in queue.events)
            expires = EXPIRES if self.prefix else 0.0
            self._missing[queue.name] = Queue(self.prefix + queue.name, events, queue.limit, expires)
        self._make([queue.name for queue in topology.queues if queue.events])

    def publisher(self, name: str = "") -> _Publisher:
        """See :meth:`esb.broker.port.Broker.publisher`."""
        return _Publisher(self)

    def consumer(self, queues: Sequence[str], prefetch: int, name: str = "") -> _Consumer:
        """See :meth:`esb.broker.port.Broker.consumer`. Connections are made once, and used by whoever comes next."""
        key = tuple(queues)
        self._make(queues)
        if key not in self._consumers:
            self._consumers[key] = self._inner.consumer([self.prefix + queue for queue in queues], prefetch, name)
        self._handed.append(_Consumer(self, self._consumers[key], key))
        return self._handed[-1]

    def depths(self, queues: Sequence[str]) -> dict[str, Depth]:
        """See :meth:`esb.broker.port.Broker.depths`."""
        known = {name: Depth(self.ready.get(name, 0), self.open[name]) for name in queues if name in self._bindings}
        return {**known, "delayed": Depth(len(self._delayed))}

    def purge(self, queue: str) -> int:
        """See :meth:`esb.broker.port.Broker.purge`."""
        self.ready.pop(queue, None)
        return self._inner.purge(self.prefix + queue)

    def check(self) -> str:
        """See :meth:`esb.broker.port.Broker.check`."""
        return self._inner.check()

    def hazard(self) -> str:
        """See :meth:`esb.broker.port.Broker.hazard`."""
        return self._inner.hazard()

    def close(self) -> None:
        """Let all connections go; the broker beneath is its owner's."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()
        if self._publisher:
            self._publisher.close()

    # --- for cases --------------------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When the first of what is delayed appears."""
        return self._delayed[0][0] if self._delayed else None

    def promote(self) -> None:
        """Publish what is due by the clock."""
        due = []
        while self._delayed and self._delayed[0][0] <= self.clock.now:
            due.append(heappop(self._delayed)[2])
        self.put(due, record=False)

    def put(self, batch: Sequence[Outgoing], record: bool = True) -> list[Outcome]:
        """Publish, and let it be on record."""
        if self._publisher is None:
            self._publisher = self._inner.publisher("cases")
        self.prepare(batch)
        outcomes = self.sort(batch, self._publisher.publish([self.named(o) for o in batch if not o.delay]))
        self.account(batch, outcomes, record)
        return outcomes

    def reset(self) -> None:
        """Nothing is under way any more, and nothing on record."""
        for consumer in self._handed:
            consumer.close()
        self._handed.clear()
        for name in [*self.ready]:
            self._drain(name)
        self._delayed.clear()
        self.passed.clear()

    def _drain(self, name: str) -> None:
        key = next((key for key in self._consumers if name in key), None)
        if key is None:
            self.purge(name)
            return
        consumer = _Consumer(self, self._consumers[key], key)
        while self.ready.get(name):
            consumer.settle(consumer.take(100, PATIENCE))

    # --- for publishers and consumers -------------------------------------------------------------------------------

    def prepare(self, batch: Sequence[Outgoing]) -> None:
        """Make the queues that a batch goes to."""
        self._make([outgoing.to for outgoing in batch if not outgoing.event])

    def _make(self, names: Sequence[str]) -> None:
        found = [self._missing.pop(name) for name in names if name in self._missing]
        if found:
            self._inner.declare(Topology(tuple(found)))

    def named(self, outgoing: Outgoing) -> Outgoing:
        """As the broker beneath knows it."""
        return msgspec.structs.replace(outgoing, to=self.prefix + outgoing.to) if self.prefix else outgoing

    def sort(self, batch: Sequence[Outgoing], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes of a batch: what is delayed is safe here."""
        left = iter(outcomes)
        return [Outcome.CONFIRMED if outgoing.delay else next(left) for outgoing in batch]

    def account(self, batch: Sequence[Outgoing], outcomes: Sequence[Outcome], record: bool = True) -> None:
        """Count what is on its way."""
        for outgoing, outcome in zip(batch, outcomes, strict=True):
            if record:
                self.passed.append(Passed(outgoing, self.clock.now, outcome))
            if outgoing.delay:
                later = msgspec.structs.replace(outgoing, delay=0.0)
                heappush(self._delayed, (self.clock.now + outgoing.delay, next(self._numbers), later))
            elif outcome is Outcome.CONFIRMED:
                for name in self._queues_of(outgoing):
                    self.ready[name] = self.ready.get(name, 0) + 1

    def _queues_of(self, outgoing: Outgoing) -> list[str]:
        if not outgoing.event:
            return [outgoing.to]
        wanted = self._bindings.items()
        return [name for name, patterns in wanted if any(matches(pattern, outgoing.to) for pattern in patterns)]

    def taken(self, delivery: Delivery) -> bool:
        """Count what was handed out, by the name that workers know. False: nobody ever gets to it."""
        delivery.queue = name = delivery.queue.removeprefix(self.prefix)
        self.ready[name] -= 1
        if not self.ready[name]:
            del self.ready[name]
        if self.silent(delivery):
            return False
        self.open[name] += 1
        return True


class _Publisher:
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def publish(self, batch: Iterable[Outgoing]) -> list[Outcome]:
        return self._traffic.put(list(batch))

    def close(self) -> None:
        """The connection stays for the next."""


class _Transfer:
    answered = True

    def __init__(self, consumer: _Consumer, inner: Transfer, batch: Sequence[Outgoing]) -> None:
        self._consumer = consumer
        self._inner = inner
        self._batch = batch

    def conclude(self, commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        traffic = self._consumer.traffic
        known: list[Outcome] = []
        settled: list[Delivery] = []

        def committed(outcomes: Sequence[Outcome]) -> Sequence[Delivery]:
            known[:] = traffic.sort(self._batch, outcomes)
            settled[:] = commit(list(known))
            return self._consumer.beneath(settled)

        self._inner.conclude(committed)
        self._consumer.settled(settled)
        traffic.account(self._batch, known)


class _Consumer:
    def __init__(self, traffic: Traffic, inner: Consumer, queues: tuple[str, ...]) -> None:
        self.traffic = traffic
        self._inner = inner
        self._queues = queues
        self._held: list[Delivery] = []

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """What is there is waited for, what is not is known not to come."""
        if not limit or not any(self.traffic.ready.get(name) for name in self._queues):
            return []
        found = self._inner.take(limit, PATIENCE)
        if not found:
            raise BrokerDown(f"the broker did not hand out within {PATIENCE:.0f} s what it had confirmed")
        heard = [delivery for delivery in found if self.traffic.taken(delivery)]
        self._inner.settle([delivery for delivery in found if delivery not in heard])
        self._held += heard
        return heard

    def begin(self, batch: Iterable[Outgoing]) -> _Transfer:
        outgoing = list(batch)
        self.traffic.prepare(outgoing)
        inner = self._inner.begin([self.traffic.named(one) for one in outgoing if not one.delay])
        return _Transfer(self, inner, outgoing)

    def transfer(self, batch: Iterable[Outgoing], commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        self.begin(batch).conclude(commit)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        self._inner.settle(self.beneath(deliveries))
        self.settled(deliveries)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self._inner.release(self.beneath(deliveries))
        self.settled(deliveries)
        for delivery in deliveries:
            self.traffic.ready[delivery.queue] = self.traffic.ready.get(delivery.queue, 0) + 1

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    def wake(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """The connection stays for the next; what is held is given back."""
        self.release([*self._held])

    def beneath(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """As the broker beneath knows them."""
        return [msgspec.structs.replace(d, queue=self.traffic.prefix + d.queue) for d in deliveries]

    def settled(self, deliveries: Sequence[Delivery]) -> None:
        """Count them out."""
        for delivery in deliveries:
            self._held.remove(delivery)
            self.traffic.open[delivery.queue] -= 1
