"""The broker in memory under the shipped suite, as far as one process goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from esb.broker.memory import MemoryBroker
from esb.broker.port import Broker, Outgoing, Queue, Topology
from esb.errors import LeaseLost
from esb.testing._broker.given import command, numbers, order, publish
from esb.testing.broker import BrokerFeatures, BrokerSuite


class TestMemory(BrokerSuite):
    """The shipped scenarios. What is opened once more is the same broker: it is nowhere else."""

    features = BrokerFeatures(atomic_transfer=True, exact_limits=True, release_unblamed=True)

    @pytest.fixture
    def opener(self) -> Callable[[], Broker]:
        broker = MemoryBroker()
        return lambda: broker

    @pytest.fixture
    def address(self) -> None:
        pytest.skip("no other process can open it")


def test_delays_go_by_the_clock_it_was_given() -> None:
    """So that the time of a test case passes at once."""
    now = [100.0]
    broker = MemoryBroker(lambda: now[0])
    broker.declare(Topology((Queue("a"),)))
    publish(broker, Outgoing(order(1), "a", delay=3600), Outgoing(order(2), "a", delay=60))
    consumer = broker.consumer(["a"], 10)
    assert consumer.take(10, 0) == []
    now[0] += 60
    assert numbers(consumer.take(10, 0)) == [2]
    now[0] += 3600
    assert numbers(consumer.take(10, 0)) == [1]


def test_what_was_settled_cannot_be_settled_again() -> None:
    """A slip of a worker shows."""
    broker = MemoryBroker()
    broker.declare(Topology((Queue("a"),)))
    publish(broker, command(order(1)))
    consumer = broker.consumer(["a"], 10)
    taken = consumer.take(10, 0)
    consumer.settle(taken)
    with pytest.raises(LeaseLost):
        consumer.settle(taken)
