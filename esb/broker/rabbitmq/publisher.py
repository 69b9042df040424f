"""Publishes batches and counts the confirms itself.

Neither kombu nor py-amqp can wait for many confirms at once, and both pair a confirm with whatever publish waits for
one. Here each publish has its sequence number, as the broker counts them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from esb.broker.port import Outcome, Outgoing
from esb.broker.rabbitmq import topology
from esb.broker.rabbitmq.connection import Keeper, Link
from esb.broker.rabbitmq.settings import Settings
from esb.broker.rabbitmq.wire import Encoder
from esb.errors import BrokerDown

_PIECE = 32  # messages written at once


class _Batch:
    """The outcomes of one batch, by sequence number. Numbers of earlier, abandoned batches are ignored."""

    def __init__(self, before: int) -> None:
        self.outcomes: list[Any] = []
        self.unknown = 0
        self._sent: list[Outgoing] = []
        self._first = before + 1
        self._low = 0  # everything below has an outcome
        self._returnable: dict[tuple[str, str, str], deque[int]] = {}
        self._placed = 0  # how many of the sent are in there: returns are rare
        self._returned: set[int] = set()

    def extend(self, sent: Sequence[Outgoing]) -> None:
        """These go out next."""
        self._sent.extend(sent)
        self.outcomes.extend([None] * len(sent))
        self.unknown += len(sent)

    def confirm(self, tag: int, multiple: bool, outcome: Outcome) -> None:
        """The broker answered for one publish, or for all up to ``tag``."""
        index = tag - self._first
        if not 0 <= index < len(self.outcomes):
            return
        for at in range(self._low, index + 1) if multiple else (index,):
            if self.outcomes[at] is None:
                self.outcomes[at] = Outcome.RETURNED if at in self._returned else outcome
                self.unknown -= 1
        if multiple:
            self._low = max(self._low, index + 1)

    def returned(self, id: str, exchange: str, key: str) -> None:
        """A publish found no queue; its confirm follows. Returns come in the order of the publishes."""
        for at in range(self._placed, len(self._sent)):
            each = self._sent[at]
            self._returnable.setdefault((each.message.id, *_destination(each)), deque()).append(at)
        self._placed = len(self._sent)
        places = self._returnable.get((id, exchange, key))
        if places:
            self._returned.add(places.popleft())


def _destination(each: Outgoing) -> tuple[str, str]:
    """Exchange and routing key."""
    if each.event:
        return topology.EVENTS, each.to
    return (topology.delay_name(each.delay) if each.delay else ""), each.to


class RabbitMqPublisher:
    """A connection of its own for publishing. Belongs to the thread that uses it.

    Args:
        delays: names of delay queues known to exist; what this publisher declares is added.
    """

    def __init__(self, settings: Settings, name: str, keeper: Keeper, delays: set[float]) -> None:
        self._settings = settings
        self._link = keeper.keep(Link(settings, name or "esb publisher", self._setup))
        self._known = delays
        self._declared: set[float] = set()
        self._published = 0  # sequence number of the last publish on this channel
        self._batch: _Batch | None = None

    def publish(self, batch: Iterable[Outgoing]) -> list[Outcome]:
        """See the port. Raises ``BrokerDown`` also when the server is blocked by an alarm for too long.

        What is to be published goes out a piece at a time, so that the broker works on one piece while the next is
        made (and, where the batch is a generator, computed).
        """
        waiting = iter(batch)
        piece = list(islice(waiting, _PIECE))
        if not piece:
            return []
        self._open()
        with self._link.failures("publish to"):
            self._wait_unblocked()
            pending = self._batch = _Batch(self._published)
            while piece:
                self._send(piece, pending)
                piece = list(islice(waiting, _PIECE))
            return self._confirmed(pending)

    def close(self) -> None:
        self._link.close()

    # --- inside -----------------------------------------------------------------------------------------------

    def _send(self, piece: Sequence[Outgoing], pending: _Batch) -> None:
        encode = self._encoder.publish
        frames = [encode(*_destination(each), each.message, each.properties) for each in piece]
        self._declare_delays(piece)
        pending.extend(piece)
        self._published += len(piece)
        self._link.write(b"".join(frames))

    def _open(self) -> None:
        """Connected and not blocked. A connection that died while nothing was under way is replaced silently."""
        self._link.refresh()
        self._link.open()

    def _setup(self, channel: Any) -> None:
        topology.declare_events(channel)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        self._encoder = Encoder(channel.channel_id, channel.connection.frame_max)
        self._published = 0
        self._declared.clear()

    def _declare_delays(self, batch: Sequence[Outgoing]) -> None:
        missing = {each.delay for each in batch if each.delay and not each.event} - self._declared
        if not missing:
            return
        # A failing passive declare closes its channel, so this one must not be the channel that counts confirms.
        connection = self._link.channel.connection
        with self._link.exclusive(), connection.channel() as channel:
            for delay in missing:
                topology.declare_delay(channel, delay, connection.server_properties)
        self._declared |= missing
        self._known |= missing

    def _confirmed(self, batch: _Batch) -> list[Outcome]:
        deadline = time.monotonic() + self._settings.confirm_timeout
        while batch.unknown:
            self._wait_unblocked()
            self._link.wait(1.0)
            if batch.unknown and time.monotonic() > deadline:
                raise TimeoutError(
                    f"{batch.unknown} of {len(batch.outcomes)} publishes were not confirmed within "
                    f"{self._settings.confirm_timeout:g} s"
                )
        self._batch = None
        return batch.outcomes

    def _wait_unblocked(self) -> None:
        """Give an alarm a moment to end. The connection stays: the server says on it when the alarm is over."""
        deadline = time.monotonic() + self._settings.blocked_timeout
        while self._link.blocked:
            rest = deadline - time.monotonic()
            if rest <= 0:
                self._batch = None
                raise BrokerDown(f"blocked: {self._link.blocked}; free memory or disk space at {self._settings}")
            self._link.wait(rest)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if self._batch is not None:
            self._batch.confirm(tag, multiple, Outcome.CONFIRMED)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        if self._batch is not None:
            self._batch.confirm(tag, multiple, Outcome.REFUSED)

    def _on_return(self, error: Exception, exchange: str, key: str, message: Any) -> None:
        if self._batch is not None:
            headers = message.properties.get("application_headers") or {}
            self._batch.returned(headers.get("cloudEvents:id", ""), exchange, key)
