"""Publishes batches and counts the confirms itself.

Neither kombu nor py-amqp can wait for many confirms at once, and both pair a confirm with whatever publish waits for
one. Here each publish has its sequence number, as the broker counts them, and several batches may be pending.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from esb.broker.port import Outcome, Outgoing, Topology
from esb.broker.rabbitmq import topology
from esb.broker.rabbitmq.confirms import Pending
from esb.broker.rabbitmq.connection import Keeper, Link, limit_of
from esb.broker.rabbitmq.frames import frames_for
from esb.broker.rabbitmq.wire import body_too_large
from esb.broker_url import Settings
from esb.errors import BrokerDown

_PIECE = 512 * 1024  # bytes that go out together: a batch of usual messages, since each write wakes the broker
_HEADERS = 512  # of them, of a message, about
# Seconds after which a channel that refused is replaced: where a queue's limit was taken away while a channel was being
# refused, RabbitMQ (3.10) goes on refusing on that channel for as long as it lives.
REFUSED = 5.0
_NAMED = 3  # queues in an error, at most


class RabbitMqPublisher:
    """A connection of its own for publishing. Belongs to the thread that uses it.

    Args:
        delays: names of delay queues known to exist; what this publisher declares is added.
    """

    def __init__(self, settings: Settings, name: str, keeper: Keeper, delays: set[float]) -> None:
        self._settings = settings
        self._frames = frames_for(settings, confirmed=self._on_ack)
        self._link = keeper.keep(Link(settings, name or "esb publisher", self._setup, self._frames))
        self._known = delays
        self._declared: set[float] = set()
        self._published = 0  # sequence number of the last publish on this channel
        self._refused_since: float | None = None  # the first refusal on this channel
        self._pending: list[Pending] = []  # batches whose outcomes nobody has asked for yet, in their order

    def publish(self, batch: Iterable[Outgoing]) -> list[Outcome]:
        """See the port. Raises ``BrokerDown`` also when the server is blocked by an alarm for too long.

        Raises ``MessageError`` when the headers of one do not fit into a frame, or the server does not take its body.
        """
        return self.begin(batch).outcomes()

    def begin(self, batch: Iterable[Outgoing]) -> Pending:
        """Publish a batch without waiting for what the broker says of it. Raises as :meth:`publish` does.

        What is to be published goes out a piece at a time, so that large messages do not lie here together (and, where
        the batch is a generator, are not computed before those in front of them are on their way).
        """
        waiting = iter(batch)
        first = next(waiting, None)
        if first is None:
            return Pending(self._published, self._wait)
        self._open()
        pending = Pending(self._published, self._wait)
        with self._failures("publish to", pending):
            self._wait_unblocked()
            self._pending.append(pending)
            for piece in _pieces(chain((first,), waiting)):
                self._send(piece, pending)
        return pending

    def close(self) -> None:
        self._link.close()

    # --- inside -----------------------------------------------------------------------------------------------

    def _send(self, piece: Sequence[Outgoing], pending: Pending) -> None:
        writes = self._frames.publish(piece)
        self._declare_delays(piece)
        pending.extend(piece)
        self._published += len(piece)
        self._link.send(writes)

    def _open(self) -> None:
        """Connected. A connection that died while nothing was under way is replaced silently."""
        self._link.refresh()
        if self._refused_since is not None and time.monotonic() - self._refused_since >= REFUSED:
            for pending in list(self._pending):
                self._wait(pending)
            self._link.close()
        self._link.open()

    def _setup(self, channel: Any) -> None:
        topology.declare_events(channel)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        self._published = 0
        self._refused_since = None
        self._declared.clear()
        self._abandon()

    def _declare_delays(self, batch: Sequence[Outgoing]) -> None:
        missing = {each.delay for each in batch if each.delay and not each.event} - self._declared
        if not missing:
            return
        # A failing passive declare closes its channel, so this one must not be the channel that counts confirms.
        connection = self._link.channel.connection
        with self._link.exclusive(), connection.channel() as channel:
            topology.declare(channel, Topology((), tuple(missing)), connection.server_properties)
        self._declared |= missing
        self._known |= missing

    def _wait(self, pending: Pending) -> None:
        deadline = time.monotonic() + self._settings.confirm_timeout
        with self._failures("hear of what was published from", pending):
            while pending.unknown:
                if pending.lost or not self._link.connected:
                    raise ConnectionResetError("the connection was lost while results were on their way")
                self._wait_unblocked()
                self._link.wait(1.0)
                if pending.unknown and time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{pending.unknown} of {len(pending)} publishes were not confirmed within "
                        f"{self._settings.confirm_timeout:g} s: {', '.join(pending.silent()[:_NAMED])}"
                    )
        if pending in self._pending:
            self._pending.remove(pending)

    @contextmanager
    def _failures(self, attempt: str, pending: Pending) -> Iterator[None]:
        """As the link's; a body that the server does not take is its message's fault, and would be at each try.

        The server alone knows its limit, and tells it by closing the channel. Of a batch that was only beside such a
        body on the channel nobody knows what arrived.
        """
        try:
            with self._link.failures(attempt):
                yield
        except BrokerDown as error:
            limit = limit_of(error.__cause__)
            large = pending.larger_than(limit) if limit is not None else None
            if limit is None or large is None:
                raise
            raise body_too_large(large, limit) from error

    def _abandon(self) -> None:
        """The channel that would have told is gone: what was pending on it stays unknown."""
        for pending in self._pending:
            pending.lost = True
        self._pending.clear()

    def _wait_unblocked(self) -> None:
        """Give an alarm a moment to end. The connection stays: the server says on it when the alarm is over."""
        deadline = time.monotonic() + self._settings.blocked_timeout
        while self._link.blocked:
            rest = deadline - time.monotonic()
            if rest <= 0:
                self._abandon()
                raise BrokerDown(f"blocked: {self._link.blocked}; free memory or disk space at {self._settings}")
            self._link.wait(rest)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for pending in self._pending:
            pending.confirm(tag, multiple, Outcome.CONFIRMED)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused_since = self._refused_since or time.monotonic()
        for pending in self._pending:
            pending.confirm(tag, multiple, Outcome.REFUSED)

    def _on_return(self, error: Exception, exchange: str, key: str, message: Any) -> None:
        headers = message.properties.get("application_headers") or {}
        id = headers.get("cloudEvents:id", "")
        any(pending.returned(id, exchange, key) for pending in self._pending)


def _pieces(batch: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Messages that go out together."""
    piece: list[Outgoing] = []
    size = 0
    for each in batch:
        piece.append(each)
        size += _HEADERS + len(each.message.body)
        if size >= _PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
