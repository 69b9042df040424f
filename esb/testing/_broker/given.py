"""What the scenarios of a broker begin with, and the words they are written in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import msgspec
import pytest

from esb.broker import open_broker
from esb.broker.port import Broker, Consumer, Delivery, Outcome, Outgoing, Queue, Topology
from esb.message import Message, create

PATIENCE = 20.0  # seconds
BRIEFLY = 0.3  # seconds in which nothing must happen

CONFIRMED, RETURNED, REFUSED = Outcome.CONFIRMED, Outcome.RETURNED, Outcome.REFUSED


class BrokerFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker promises beyond the port; a scenario that needs more is skipped, or demands less."""

    atomic_transfer: bool = False  # publish and settle in one: a killed relay doubles nothing
    exact_limits: bool = False  # a queue's limit holds to the message
    release_unblamed: bool = False  # what was released does not come back as redelivered
    server: bool = False  # there is a server that can be killed
    early: float = 0.002  # seconds that a delayed message may come before its time, by rounding
    kills: int = 5  # of the relay that is killed at random


class Scenarios:
    """Base of all: the broker as a scenario finds it."""

    features: ClassVar[BrokerFeatures] = BrokerFeatures()

    @pytest.fixture
    def opener(self, address: tuple[str, str]) -> Iterator[Callable[[], Broker]]:
        """Opens the broker once more; all are closed when the test ends."""
        opened: list[Broker] = []

        def another() -> Broker:
            opened.append(open_broker(*address))
            return opened[-1]

        yield another
        for broker in opened:
            broker.close()

    @pytest.fixture
    def broker(self, opener: Callable[[], Broker]) -> Broker:
        """The broker with the queues ``a`` and ``b``, which want no events."""
        broker = opener()
        broker.declare(Topology((Queue("a"), Queue("b")), delays=(0.02, 0.5, 1.0, 30.0, 3600.0)))
        return broker


def order(number: int) -> Message:
    """A small message that carries its number."""
    return create(b'{"n":%d}' % number, type="order", source="suite", version=1, headers={"n": str(number)})


def command(message: Message, queue: str = "a") -> Outgoing:
    """For one queue."""
    return Outgoing(message, queue)


def number(delivery: Delivery) -> int:
    """The number that ``order`` gave it."""
    return int(delivery.message.headers["n"])


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """The numbers of several, in order."""
    return [number(delivery) for delivery in deliveries]


def publish(broker: Broker, *batch: Outgoing) -> list[Outcome]:
    """Publish one batch with a publisher of its own."""
    publisher = broker.publisher()
    try:
        return publisher.publish(batch)
    finally:
        publisher.close()


def take(consumer: Consumer, count: int, at_most: int = 0) -> list[Delivery]:
    """Exactly ``count`` messages, waiting as long as it takes; not settled."""
    found: list[Delivery] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.take(min(count - len(found), at_most or count), 0.5)
    assert len(found) == count, f"{len(found)} of {count} messages came within {PATIENCE} s"
    return found


def drain(broker: Broker, queue: str, count: int) -> list[Delivery]:
    """Take and settle ``count`` messages."""
    consumer = broker.consumer([queue], max(count, 1))
    try:
        found = take(consumer, count)
        consumer.settle(found)
        return found
    finally:
        consumer.close()


def nothing_in(broker: Broker, queue: str) -> bool:
    """Whether nothing comes out of a queue for a moment."""
    consumer = broker.consumer([queue], 10)
    try:
        return consumer.take(10, BRIEFLY) == []
    finally:
        consumer.close()


def drain_all(broker: Broker, queue: str, different: int) -> list[Delivery]:
    """Take and settle until so many different messages came and no more come, copies among them or not."""
    consumer, found = broker.consumer([queue], 500), []
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            taken = consumer.take(500, BRIEFLY)
            consumer.settle(taken)
            found += taken
            if not taken and len(set(numbers(found))) >= different:
                break
        return found
    finally:
        consumer.close()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not so within {PATIENCE} s"
        time.sleep(0.01)
