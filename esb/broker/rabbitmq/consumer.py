"""Takes messages in batches and settles them with few frames."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from amqp.exceptions import ConsumerCancelled, NotFound

from esb.broker.port import Delivery, Outcome, Outgoing
from esb.broker.rabbitmq import topology
from esb.broker.rabbitmq.budget import Budget
from esb.broker.rabbitmq.connection import DRIVER_ERRORS, Keeper, Link
from esb.broker.rabbitmq.frames import Raw, frames_for
from esb.broker.rabbitmq.publisher import Pending, RabbitMqPublisher
from esb.broker.rabbitmq.wire import Write
from esb.broker_url import Settings
from esb.errors import LeaseLost
from esb.wake import Wake

_LEAST_SHARE = 50  # prefetch of one queue among many
_GENERATION = 48  # bits of a token below the channel's generation

Restore = Callable[[Any, topology.Properties], None]  # makes queues that are gone, by a channel of such a server


class RabbitMqTransfer:
    """See :class:`esb.broker.port.Transfer`."""

    def __init__(self, pending: Pending, settle: Callable[[Sequence[Delivery]], None]) -> None:
        self._pending = pending
        self._settle = settle

    @property
    def answered(self) -> bool:
        return self._pending.answered

    def conclude(self, commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See the port."""
        self._settle(commit(self._pending.outcomes()))


class RabbitMqConsumer:
    """A connection for taking, and another for what :meth:`transfer` publishes. Belongs to the thread that uses it.

    Quorum queues know a prefetch per queue only, so it is divided among the queues (50 each at least); what is handed
    out never exceeds it. Nor do they know one in bytes: of that see :mod:`.budget`. A redelivery after :meth:`release`,
    :meth:`pause` or :meth:`close`, or of what was over the budget, looks to RabbitMQ like one after a crash: those
    messages come back marked as redelivered.
    """

    def __init__(
        self,
        settings: Settings,
        queues: Sequence[str],
        prefetch: int,
        name: str,
        keeper: Keeper,
        publisher: RabbitMqPublisher,
        restore: Restore = lambda channel, server: None,
    ) -> None:
        self._settings = settings
        self._queues = tuple(queues)
        self._prefetch = prefetch
        self._publisher = publisher
        self._restore = restore
        self._wake = Wake()
        self._tags: dict[bytes, str] = {}  # consumer tag: queue
        self._rounds = 0
        self._waiting: deque[Raw] = deque()  # prefetched, not handed out
        self._open: dict[int, int] = {}  # tags handed out and not settled, in order: bytes of the body
        self._budget = Budget()
        self._paused = False
        self._frames = frames_for(settings, delivered=self._waiting.append, budget=self._budget)
        self._link = keeper.keep(
            Link(settings, name or "esb consumer", self._setup, self._frames, self._budget.listens)
        )

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """See the port."""
        deadline = time.monotonic() + timeout
        if self._budget.spent and not (self._open or self._waiting):
            self._link.close()  # which puts back what was left out; cut off, the server might miss the last acks
        self._link.open(wait=timeout)
        with self._link.failures("take from"):
            room = self._room(limit)
            if len(self._waiting) < room:
                self._link.read()
            while room <= 0 or not self._waiting:
                rest = deadline - time.monotonic()
                if self._link.wait(max(rest, 0.0), self._wake) or rest <= 0:
                    break
        return self._hand_out(self._room(limit))

    def begin(self, batch: Iterable[Outgoing]) -> RabbitMqTransfer:
        """See the port."""
        return RabbitMqTransfer(self._publisher.begin(batch), self.settle)

    def transfer(self, batch: Iterable[Outgoing], commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See the port."""
        self.begin(batch).conclude(commit)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. A prefix goes in one frame, the rest in one write."""
        if not deliveries:
            return
        self._link.refresh()
        tags = self._claim(deliveries)
        if tags:
            self._send(self._frames.ack(self._acks(tags)))
        if len(tags) < len(deliveries):
            raise LeaseLost(
                f"{len(deliveries) - len(tags)} of {len(deliveries)} deliveries are not ours any more: "
                "their connection was lost, or they were settled before"
            )

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. What a lost connection held is back in its queue already."""
        self._link.refresh()
        tags = self._claim(deliveries)
        try:
            self._send(self._frames.reject(tags) if tags else [])
        except LeaseLost:
            return

    def pause(self) -> None:
        """See the port."""
        self._paused = True
        if not self._link.connected:
            return
        with self._link.failures("pause taking from"):
            with self._link.exclusive():
                for tag in self._tags:
                    self._link.channel.basic_cancel(tag.decode())
            self._link.send(self._frames.reject([*(raw.tag for raw in self._waiting), *self._budget.left_out]))
            self._waiting.clear()
            self._budget.renew(sum(self._open.values()))

    def resume(self) -> None:
        """See the port."""
        if not self._paused:
            return
        self._paused = False
        if self._link.connected:
            with self._link.failures("resume taking from"), self._link.exclusive():
                self._consume()

    def wake(self) -> None:
        """See the port."""
        self._wake.set()

    def close(self) -> None:
        """See the port: the broker takes back what a closed connection held."""
        self._budget.spent = True  # what comes before the server's goodbye is not kept
        self._link.close()
        self._publisher.close()

    # --- inside -----------------------------------------------------------------------------------------------

    def _setup(self, channel: Any) -> None:
        """A fresh channel: nothing of what the last one delivered is ours any more."""
        self._base = self._link.generation << _GENERATION
        try:
            self._begin(channel)
        except NotFound:  # somebody deleted a queue; py-amqp has opened the channel again
            self._restore(channel, self._link.server)
            self._begin(channel)

    def _begin(self, channel: Any) -> None:
        self._waiting.clear()
        self._open.clear()
        self._budget.renew()
        share = max(self._prefetch // max(len(self._queues), 1), min(self._prefetch, _LEAST_SHARE))
        channel.basic_qos(0, share, False)
        if not self._paused:
            self._consume()

    def _consume(self) -> None:
        # Tags are never used again: RabbitMQ before 3.10.9 breaks the connection over one that still holds messages.
        self._rounds += 1
        self._tags = {f"{self._rounds}.{number}".encode(): queue for number, queue in enumerate(self._queues)}
        for tag, queue in self._tags.items():
            self._frames.consume(queue, tag.decode(), self._on_cancel)

    def _on_cancel(self, tag: str) -> None:
        raise ConsumerCancelled(f"queue {self._tags[tag.encode()]} was deleted or moved", (60, 30))

    def _room(self, limit: int) -> int:
        return min(limit, self._prefetch - len(self._open))

    def _hand_out(self, limit: int) -> list[Delivery]:
        waiting = self._waiting
        return [self._delivery(waiting.popleft()) for _ in range(min(limit, len(waiting)))]

    def _delivery(self, raw: Raw) -> Delivery:
        message, properties = self._frames.decode(raw)
        queue = self._tags[raw.consumer]
        if queue == topology.UNROUTABLE:
            properties["routed-to"] = raw.target.decode("utf-8", "replace")
        self._open[raw.tag] = len(raw.body)
        return Delivery(message, queue, self._base | raw.tag, bool(raw.redelivered), properties)

    def _claim(self, deliveries: Sequence[Delivery]) -> list[int]:
        """The tags among these that we still hold, which they are no longer after this."""
        if not self._link.connected:
            return []
        mask, generation, held = (1 << _GENERATION) - 1, self._link.generation, self._open
        tags, octets = [], 0
        for delivery in deliveries:
            tag = delivery.token & mask
            if delivery.token >> _GENERATION == generation and tag in held:
                octets += held.pop(tag)
                tags.append(tag)
        self._budget.held -= octets
        return sorted(tags)

    def _acks(self, tags: list[int]) -> Iterable[tuple[int, bool]]:
        """Everything before the oldest unsettled delivery at once, the others one by one."""
        oldest = next(iter(self._open), self._waiting[0].tag if self._waiting else None)
        prefix = len(tags) if oldest is None else sum(tag < oldest for tag in tags)
        if prefix:
            yield tags[prefix - 1], True
        for tag in tags[prefix:]:
            yield tag, False

    def _send(self, writes: Sequence[Write]) -> None:
        try:
            self._link.send(writes)
        except DRIVER_ERRORS as error:
            self._link.drop()
            raise LeaseLost(f"the connection to RabbitMQ at {self._settings} was lost while settling") from error
