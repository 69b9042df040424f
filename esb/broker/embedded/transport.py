"""A kombu transport over the embedded broker's queues, so that Celery runs where there is no server.

Celery names it by ``broker_transport = "esb.broker.embedded.transport:Transport"`` and says where the broker lives by
``broker_transport_options = {"data_dir": …}``. None of the transports that come with kombu survives a kill: each takes
a message out before it is worked off. Here a taken message stays a row, leased to its taker, until it is acked.

A kombu message travels as the body of a bus message, so that depths, leases and the batch API see one kind of row.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime
from queue import Empty
from time import time
from typing import Any

import msgspec
from kombu.transport import virtual

from esb.broker.embedded.broker import EmbeddedBroker, EmbeddedPublisher
from esb.broker.embedded.consumer import EmbeddedConsumer
from esb.broker.port import Delivery, Outcome, Outgoing, Queue, Topology
from esb.errors import BrokerError
from esb.message import create

TYPE = "kombu.message"  # what a row of this transport says it is
_MOST = 1_000_000  # messages one connection may hold; how many it takes, kombu's prefetch says
_SEPARATOR = "\x1f"  # between the parts of a binding; no routing key of the bus has it
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class QoS(virtual.QoS):
    """Acks and rejects go to the row at once, from whichever thread; nothing is kept to be restored later."""

    restore_at_shutdown = False  # a closed connection puts its rows back, a killed one loses its lease

    def ack(self, delivery_tag: int) -> None:
        """The task is done: the row goes."""
        self._finish(self._transport().settle, delivery_tag)

    def reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Back to its place in the queue, or gone."""
        transport = self._transport()
        self._finish(transport.release if requeue else transport.settle, delivery_tag)

    def _finish(self, act: Callable[[int], None], delivery_tag: int) -> None:
        """Whatever comes of it, the place is free, and a waiting worker is told so: it may take one more."""
        try:
            act(delivery_tag)
        finally:
            super().ack(delivery_tag)
            self._transport().wake()

    def _transport(self) -> Transport:
        found: Transport | None = self.channel.connection
        if found is None:
            raise BrokerError("cannot settle a task whose connection is closed: it is back in its queue and runs again")
        return found


class Channel(virtual.Channel):
    """Queues and bindings lie in the database, where every process sees them."""

    QoS = QoS
    do_restore = False
    supports_fanout = False
    body_encoding = "utf-8"  # tasks are JSON already; base64 would only make them longer

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """The bindings of an exchange: (routing key, pattern, queue)."""
        return self.connection.bindings(exchange)

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        """Let a queue have what is published to an exchange under a routing key."""
        exchange = exchange or "amq.direct"
        key, pattern, _queue = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
        self.connection.bind(queue, exchange, key or "", pattern or "")

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        """The reverse of :meth:`queue_bind`."""
        exchange = exchange or "amq.direct"
        key, pattern, _queue = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
        self.connection.unbind(queue, exchange, key or "", pattern or "")

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Drop what waits in a queue; the queue itself stays, others may know it."""
        if not (if_empty and self._size(queue)):
            self._purge(queue)

    def basic_consume(self, queue: str, *args: Any, **options: Any) -> None:
        """Consume from a queue."""
        super().basic_consume(queue, *args, **options)
        self.connection.listen()

    def _restore(self, message: Any) -> None:
        """In place: publishing it again would put it behind others, and double it if this process died meanwhile."""
        self.connection.release(message.delivery_tag)

    def _new_queue(self, queue: str, **_: Any) -> None:
        self.connection.declare(queue)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.connection.size(queue) is not None

    def _size(self, queue: str) -> int:
        return self.connection.size(queue) or 0

    def _purge(self, queue: str) -> int:
        return self.connection.purge(queue)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self.connection.put(queue, message)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        return self.connection.get(queue)


class Transport(virtual.Transport):
    """One connection: a broker of its own, one publisher, one consumer for all queues that are consumed."""

    Channel = Channel
    driver_type = "esb"
    driver_name = "esb-embedded"
    connection_errors: Any = (*virtual.Transport.connection_errors, BrokerError)
    recoverable_connection_errors: Any = connection_errors

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self._data_dir = client.transport_options["data_dir"]
        self._broker: EmbeddedBroker
        self._publisher: EmbeddedPublisher
        self._consumer: EmbeddedConsumer | None = None
        self._former: list[EmbeddedConsumer] = []  # they still hold what they took
        self._getters: dict[str, EmbeddedConsumer] = {}
        self._taken: dict[int, tuple[EmbeddedConsumer, Delivery]] = {}
        self._interrupted = False

    def driver_version(self) -> str:
        """Of what lies beneath."""
        return sqlite3.sqlite_version

    def establish_connection(self) -> Any:
        """Open the file. Not sooner: kombu asks for a transport also to write down why it has no connection."""
        self._broker = EmbeddedBroker(self._data_dir)
        self._publisher = self._broker.publisher("kombu")
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        """Put back what is not acked, and let the file go."""
        super().close_connection(connection)
        self._broker.close()
        self._publisher.close()

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Hand one message to whoever consumes its queue. Raises ``TimeoutError`` when none comes in time.

        Waits on the broker's bell; the stock loop sleeps between looks.
        """
        if self._consumer is None:
            self._consumer = self._broker.consumer(tuple(self._callbacks), _MOST, "kombu")
        hungry = any(channel.qos.can_consume() for channel in self.channels)
        wait = 0.0 if self._interrupted else 1.0 if timeout is None else timeout
        taken = self._consumer.take(1 if hungry else 0, wait)
        if not taken:
            raise TimeoutError
        for delivery in taken:
            payload = self._received(self._consumer, delivery)
            if payload is not None:
                self._deliver(payload, delivery.queue)

    def interrupt(self) -> None:
        """Nobody waits for a message any more, and who does is woken. Safe from any thread."""
        self._interrupted = True
        consumer = self._consumer
        if consumer is not None:
            consumer.wake()

    # what channels ask for --------------------------------------------------------------------------------------

    def listen(self) -> None:
        """The set of queues changed: the next look is at these. What was taken stays with whoever took it."""
        if self._consumer is not None:
            self._former.append(self._consumer)
            self._consumer = None

    def declare(self, queue: str) -> None:
        """Make sure a queue exists."""
        self._broker.declare(Topology((Queue(queue),)))

    def bind(self, queue: str, exchange: str, key: str, pattern: str) -> None:
        """Keep a binding. Written so that no routing key of an event of the bus ever matches it."""
        self._broker.declare(Topology((Queue(queue, (_SEPARATOR.join((exchange, key, pattern)),)),)))

    def unbind(self, queue: str, exchange: str, key: str, pattern: str) -> None:
        """Forget a binding."""
        self._broker.declare(Topology((), stale=((queue, _SEPARATOR.join((exchange, key, pattern))),)))

    def bindings(self, exchange: str) -> list[tuple[str, str, str]]:
        """(routing key, pattern, queue) of an exchange."""
        found = [(binding.split(_SEPARATOR), queue) for binding, queue in self._broker.bindings()]
        return [(parts[1], parts[2], queue) for parts, queue in found if len(parts) == 3 and parts[0] == exchange]

    def size(self, queue: str) -> int | None:
        """Messages waiting; None where there is no such queue."""
        depth = self._broker.depths((queue,)).get(queue)
        return None if depth is None else depth.ready

    def purge(self, queue: str) -> int:
        """Drop what waits."""
        return self._broker.purge(queue)

    def put(self, queue: str, payload: dict[str, Any]) -> None:
        """Store one message. With an ETA it appears when it is due, and lies in no worker's hands until then."""
        message = create(_encode(payload), type=TYPE, source="kombu")
        outcome = self._publisher.publish([Outgoing(message, queue, delay=_delay(payload))])[0]
        if outcome is not Outcome.CONFIRMED:
            raise BrokerError(f"cannot put a task into the queue {queue}: there is no such queue, or it is full")

    def get(self, queue: str) -> dict[str, Any]:
        """One message at once; raises ``Empty``."""
        consumer = self._getters.get(queue)
        if consumer is None:
            consumer = self._getters[queue] = self._broker.consumer((queue,), _MOST, "kombu")
        taken = consumer.take(1, 0)
        if not taken:
            raise Empty
        payload = self._received(consumer, taken[0])
        if payload is None:
            raise Empty
        return payload

    def settle(self, tag: int) -> None:
        """The row goes."""
        consumer, delivery = self._taken.pop(tag)
        consumer.settle((delivery,))

    def release(self, tag: int) -> None:
        """The row stays at its place, for whoever comes."""
        consumer, delivery = self._taken.pop(tag)
        consumer.release((delivery,))

    def wake(self) -> None:
        """After an ack one more may be taken."""
        if self._consumer is not None:
            self._consumer.wake()

    def _received(self, consumer: EmbeddedConsumer, delivery: Delivery) -> dict[str, Any] | None:
        """As kombu wants it. What did not come through kombu can be nobody's task: it is told, and goes."""
        if delivery.message.type != TYPE:
            log = logging.getLogger(__name__)
            log.warning("dropped from %s: message %s is no task", delivery.queue, delivery.message.id)
            consumer.settle((delivery,))
            return None
        payload = _decode(delivery.message.body)
        payload["properties"]["delivery_tag"] = delivery.token
        payload["redelivered"] = delivery.redelivered
        self._taken[delivery.token] = (consumer, delivery)
        return payload


def _delay(payload: dict[str, Any]) -> float:
    """Seconds until the ETA that Celery writes into a task's headers; 0 where there is none."""
    eta = payload.get("headers", {}).get("eta")
    return max(0.0, datetime.fromisoformat(eta).timestamp() - time()) if eta else 0.0
