"""A private RabbitMQ node, and the queues that peers read from and write to.

Queues of peers are what the bus's are: quorum queues, filled with persistent messages before the clock starts.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from contextlib import suppress

import amqp
from amqp.exceptions import NotFound

from bench.process import CannotRun, members, processor_time, resident
from esb.broker_url import parse
from esb.testing.servers.rabbitmq import RabbitMqServer

_PIECE = 64  # messages written at once
_LOOK = 0.5  # seconds between two looks at whether the broker is idle,
_IDLE = 0.1  # which is when it uses less than this share of a core
_PATIENCE = 60.0  # seconds that the broker may take to say that it has everything


class Node(RabbitMqServer):
    """One node, started for a benchmark. Memory alarms would slow a backlog of a million, so it may take much."""

    def __init__(self) -> None:
        super().__init__(memory="8GB")

    def cpu(self) -> float:
        """Seconds of CPU that the broker has used."""
        return processor_time(self._erlang())

    def resident(self) -> float:
        """Bytes of memory that the broker has."""
        return resident(self._erlang())

    def begin(self) -> None:
        """Begin a new log of quorum queues, before a run.

        The old one is written away when it has grown to half a gigabyte, at the expense of whoever is at work then: it
        cost the broker 64 to 84 instead of 45 µs of CPU a message, in every fourth or fifth run, and so, with sides in
        turns, nearly always those of the same side.
        """
        self._run("ra_log_wal:force_roll_over(ra_log_wal)")
        self.settle()

    def settle(self) -> None:
        """Wait until it has nothing to do: what a filled queue leaves to be written is no part of what is measured."""
        deadline = time.monotonic() + _PATIENCE
        used, before = self.cpu(), 0.0
        while used - before > _IDLE * _LOOK and time.monotonic() < deadline:
            time.sleep(_LOOK)
            before, used = used, self.cpu()

    def _erlang(self) -> int:
        """The Erlang machine: what uses most of the processes that were started together."""
        assert self._node is not None
        return max(members(self._node.pid), key=resident, default=0)


class Queues:
    """Makes, fills, counts and deletes queues. Use as a context manager."""

    def __init__(self, url: str) -> None:
        """Args: where the node is."""
        self._settings = parse(url)

    def __enter__(self) -> Queues:
        place = self._settings
        self._connection = amqp.Connection(
            f"{place.host}:{place.port}", userid=place.user, password=place.password, virtual_host=place.vhost,
            login_method="PLAIN", connect_timeout=10, heartbeat=0,
        )  # fmt: skip
        self._connection.connect()
        self._channel = self._connection.channel()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(amqp.AMQPError, OSError):
            self._connection.close()

    def make(self, *names: str) -> None:
        """Fresh quorum queues; older ones of the same name are deleted."""
        self.delete(*names)
        for name in names:
            self._channel.queue_declare(
                name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )  # fmt: skip

    def delete(self, *names: str) -> None:
        """What does not exist is left alone."""
        for name in names:
            self._channel.queue_delete(name)

    def depth(self, name: str) -> int:
        """How many messages wait; 0 where there is no such queue."""
        try:
            return int(self._channel.queue_declare(name, passive=True).message_count)
        except NotFound:
            return 0

    def fill(self, name: str, body: bytes, count: int, **properties: object) -> None:
        """Publish the same persistent message so often, and wait until the broker has all of them.

        The frames are put together once: py-amqp would need longer for each than the fastest side for all its work.
        """
        plain = {"content_type": "application/json", "message_id": "4711", "delivery_mode": 2}
        frames = _publish(self._channel.channel_id, name, body, plain | properties)
        for start in range(0, count, _PIECE):
            self._connection.transport.write(frames * min(_PIECE, count - start))
        self.await_depth(name, count)

    def await_depth(self, name: str, count: int) -> None:
        """Wait until so many messages lie in a queue. Raises ``CannotRun`` when it does not come to that."""
        deadline = time.monotonic() + _PATIENCE
        while (depth := self.depth(name)) != count:
            if time.monotonic() > deadline:
                raise CannotRun(f"{depth} messages lie in {name} instead of {count}")
            time.sleep(0.05)


def _publish(channel: int, queue: str, body: bytes, properties: Mapping[str, object]) -> bytes:
    """The frames of a publish to the default exchange (AMQP 0-9-1, 2.3.5)."""
    message = amqp.Message(body, **properties)
    key = queue.encode()
    method = struct.pack(">HHHBB", 60, 40, 0, 0, len(key)) + key + b"\x00"
    header = struct.pack(">HHQ", 60, 0, len(body)) + message._serialize_properties()
    return b"".join(_frame(kind, channel, payload) for kind, payload in ((1, method), (2, header), (3, body)))


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
