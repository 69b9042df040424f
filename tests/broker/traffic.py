"""What the tests of RabbitMQ say over and over: publish so many, drain a queue, try again while it is down."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from esb.broker.port import Outcome, Outgoing
from esb.broker.rabbitmq import RabbitMqBroker
from esb.errors import BrokerDown
from esb.message import Message, create
from esb.testing.proxy import Proxy

CONFIRMED, RETURNED, REFUSED = Outcome.CONFIRMED, Outcome.RETURNED, Outcome.REFUSED
PATIENCE = 20.0

both_ways = pytest.mark.parametrize("frames", ["bulk", "plain"], indirect=True)  # of reading and writing frames


def order(number: int, size: int = 0) -> Message:
    """A message that carries its number."""
    return create(b"x" * size, type="order", source="suite", headers={"n": str(number)})


def commands(count: int, queue: str = "a", size: int = 0) -> list[Outgoing]:
    """So many messages for one queue."""
    return [Outgoing(order(number, size), queue) for number in range(count)]


def publish(broker: RabbitMqBroker, batch: list[Outgoing]) -> list[Outcome]:
    """With a publisher of its own."""
    publisher = broker.publisher()
    try:
        return publisher.publish(batch)
    finally:
        publisher.close()


def drain(broker: RabbitMqBroker, queue: str, count: int) -> list[int]:
    """The numbers of all messages in a queue, waiting until at least ``count`` different ones came."""
    consumer, found = broker.consumer([queue], 500), []
    deadline = time.monotonic() + PATIENCE
    while len(set(found)) < count and time.monotonic() < deadline:
        taken = consumer.take(500, 0.5)
        consumer.settle(taken)
        found += [int(delivery.message.headers["n"]) for delivery in taken]
    consumer.close()
    return found


def persistently(work: Any) -> Any:
    """As a worker does it: try again as long as the broker is down."""
    deadline = time.monotonic() + 3 * PATIENCE
    while True:
        try:
            return work()
        except BrokerDown:
            assert time.monotonic() < deadline


def port_of(url: str) -> tuple[str, int]:
    """Host and port for a proxy."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 5672


def through(proxy: Proxy, url: str, options: str = "") -> RabbitMqBroker:
    """The same virtual host, reached through a proxy; ``options`` as in a URL."""
    host, port = port_of(url)
    return RabbitMqBroker(with_options(url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}"), options))


def with_options(url: str, options: str) -> str:
    """A broker's URL with more options."""
    return f"{url}{'&' if '?' in url else '?'}{options}" if options else url


def bare(url: str) -> str:
    """Without our options, for other clients."""
    return url.partition("?")[0]
