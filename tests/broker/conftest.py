"""A RabbitMQ virtual host for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kombu
import pytest
from traffic import with_options

from esb.broker.port import Queue, Topology
from esb.broker.rabbitmq import RabbitMqBroker, topology


@pytest.fixture
def frames(request: pytest.FixtureRequest) -> str:
    """How frames are read and written: in bulk, unless a test is said to hold for both ways."""
    return str(getattr(request, "param", "bulk"))


@pytest.fixture
def url(rabbitmq: Any, frames: str) -> str:
    """A virtual host of the test's own."""
    place = str(rabbitmq.vhost())
    if not rabbitmq.private:
        _empty(place)
    return place if frames == "bulk" else with_options(place, f"frames={frames}")


def _empty(url: str) -> None:
    """A server that is not ours has one virtual host for all tests: take away what they declare there."""
    with kombu.Connection(url) as connection:
        channel = connection.channel()
        for name in ("a", "b", "q", "one", "small", "wants", "exact", "star", "hash", "all", topology.UNROUTABLE):
            channel.queue_delete(name)
        for delay in (0.02, 0.05, 0.2, 0.5, 30.0):
            channel.queue_delete(topology.delay_name(delay))


@pytest.fixture
def broker(url: str) -> Iterator[RabbitMqBroker]:
    """A broker with the queues ``a`` and ``b``."""
    broker = RabbitMqBroker(url)
    broker.declare(Topology((Queue("a"), Queue("b"))))
    yield broker
    broker.close()
