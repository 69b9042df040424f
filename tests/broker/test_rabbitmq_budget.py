"""The bytes that a consumer holds on RabbitMQ: the arithmetic, and what the server makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from traffic import PATIENCE, both_ways, commands, persistently, port_of, publish, through

from esb.broker.port import Queue, Topology
from esb.broker.rabbitmq import RabbitMqBroker
from esb.broker.rabbitmq.budget import PATIENCE as PATIENCE_WITH_FULL_HANDS
from esb.broker.rabbitmq.budget import Budget
from esb.errors import LeaseLost
from esb.testing.proxy import Proxy
from esb.testing.servers import wait_until

ENOUGH = 1_000_000
LARGE = 200_000
SLACK = 500_000  # a message that has begun, and a piece of the stream


class Clock:
    """Stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_who_has_enough_listens_no_more_until_something_is_settled() -> None:
    """What goes beyond is kept, so that a message larger than all that is enough passes."""
    budget = Budget(ENOUGH, Clock())
    budget.held = ENOUGH - 1
    assert (budget.listens(), budget.admits()) == (True, True)
    budget.held += 10 * ENOUGH
    assert not budget.listens()
    budget.held = ENOUGH - 1
    assert (budget.listens(), budget.admits()) == (True, True)


def test_who_has_enough_for_a_while_listens_again_and_keeps_nothing_more() -> None:
    """Though something is settled then: what is behind a gap must not go before it."""
    clock = Clock()
    budget = Budget(ENOUGH, clock)
    budget.held = ENOUGH
    assert not budget.listens()
    clock.now += PATIENCE_WITH_FULL_HANDS - 0.1
    assert not budget.listens()
    clock.now += 0.1
    assert (budget.listens(), budget.admits()) == (True, False)
    budget.held = 0
    assert (budget.listens(), budget.admits()) == (True, False)
    budget.renew()
    assert (budget.listens(), budget.admits()) == (True, True)


def test_a_while_begins_anew_when_something_was_settled() -> None:
    """A worker that gets on is not one that hangs."""
    clock = Clock()
    budget = Budget(ENOUGH, clock)
    for _ in range(5):
        budget.held = ENOUGH
        assert not budget.listens()
        clock.now += PATIENCE_WITH_FULL_HANDS - 0.1
        budget.held = 0
        assert budget.listens()


def test_of_what_comes_all_the_same_no_more_than_twice_as_much_is_kept() -> None:
    """An answer of the server's may stand behind gigabytes of messages."""
    budget = Budget(ENOUGH, Clock())
    budget.held = 2 * ENOUGH - 1
    assert budget.admits()
    budget.held += 1
    assert not budget.admits()


@pytest.fixture
def single(broker: RabbitMqBroker, monkeypatch: pytest.MonkeyPatch) -> RabbitMqBroker:
    """The broker with a queue ``q`` of one consumer; a megabyte is enough to hold."""
    monkeypatch.setattr("esb.broker.port.MOST_OCTETS", ENOUGH)
    broker.declare(Topology((Queue("q", single=True),)))
    return broker


def numbers(taken: list[Any]) -> list[int]:
    """As they came."""
    return [int(delivery.message.headers["n"]) for delivery in taken]


def kept(consumer: Any) -> int:
    """Bytes of bodies in the consumer, handed out or not."""
    return sum(consumer._open.values()) + sum(len(raw.body) for raw in consumer._waiting)


def hold_on(consumer: Any, condition: Any) -> None:
    """Like a worker whose hands are full, until it is so."""
    wait_until(lambda: consumer.take(0, 0.1) == [] and condition(), PATIENCE, "the server's messages to arrive")


def all_of(consumer: Any, count: int) -> list[int]:
    """Take and settle as many as come at a time, until so many have."""
    found: list[int] = []
    while len(found) < count:
        taken = consumer.take(600, PATIENCE)
        assert taken, f"{len(found)} of {count} came"
        consumer.settle(taken)
        found += numbers(taken)
    return found


@pytest.mark.rabbitmq
@both_ways
@pytest.mark.parametrize("size", [20_000, LARGE])
def test_a_worker_with_full_hands_is_sent_no_more(single: RabbitMqBroker, size: int) -> None:
    """It goes on listening to the rest, and its memory does not grow; then all comes, in order, and once."""
    count = 4 * ENOUGH // size
    publish(single, commands(count, "q", size))
    consumer = single.consumer(["q"], 600)
    held = consumer.take(1, PATIENCE)
    hold_on(consumer, lambda: consumer._budget.full)
    for _ in range(3):
        assert consumer.take(0, 0.1) == []
        assert ENOUGH <= kept(consumer) == consumer._budget.held <= ENOUGH + SLACK
    consumer.settle(held)
    assert numbers(held) + all_of(consumer, count - 1) == list(range(count))
    assert kept(consumer) == consumer._budget.held == 0
    assert consumer._link.generation == 1
    consumer.close()
    assert single.depths(["q"])["q"].ready == 0


@pytest.mark.rabbitmq
@both_ways
@pytest.mark.parametrize("size", [20_000, LARGE])
def test_the_server_is_not_kept_waiting_by_who_holds_on(
    single: RabbitMqBroker, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the rest is read and left out; what is in hand stays ours, and then all comes, in order, once."""
    monkeypatch.setattr("esb.broker.rabbitmq.budget.PATIENCE", 0.0)
    count = 4 * ENOUGH // size
    publish(single, commands(count, "q", size))
    consumer = single.consumer(["q"], 600)
    held = consumer.take(1, PATIENCE)
    hold_on(consumer, lambda: len(consumer._budget.left_out) + len(consumer._waiting) + 1 == count)
    assert kept(consumer) == consumer._budget.held <= ENOUGH + SLACK
    consumer.settle(held)
    monkeypatch.undo()
    assert numbers(held) + all_of(consumer, count - 1) == list(range(count))
    consumer.close()
    assert single.depths(["q"])["q"].ready == 0


@pytest.mark.rabbitmq
@both_ways
def test_a_pause_gives_back_what_was_left_out(broker: RabbitMqBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get it while what is in hand stays ours, and the paused one takes again afterwards."""
    monkeypatch.setattr("esb.broker.port.MOST_OCTETS", ENOUGH)
    monkeypatch.setattr("esb.broker.rabbitmq.budget.PATIENCE", 0.0)
    publish(broker, commands(20, "a", LARGE))
    consumer, other = broker.consumer(["a"], 600), broker.consumer(["a"], 600)
    held = consumer.take(1, PATIENCE)
    hold_on(consumer, lambda: len(consumer._budget.left_out) + len(consumer._waiting) + 1 == 20)
    consumer.pause()
    assert consumer._budget.held == LARGE
    assert sorted(all_of(other, 19)) == list(range(1, 20))
    other.pause()
    consumer.settle(held)
    consumer.resume()
    publish(broker, commands(1, "a", LARGE))
    assert all_of(consumer, 1) == [0]
    for each in (consumer, other):
        each.close()
    assert broker.depths(["a"])["a"].ready == 0


@pytest.mark.rabbitmq
@both_ways
@pytest.mark.parametrize("patience", [0.0, 10.0])
def test_connections_cut_while_hands_are_full_lose_nothing(
    single: RabbitMqBroker, url: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut again and again, with the rest waiting at the server or left out: all arrive, none before an earlier one."""
    monkeypatch.setattr("esb.broker.rabbitmq.budget.PATIENCE", patience)
    publish(single, commands(40, "q", LARGE))
    with Proxy(port_of(url)) as proxy:
        cut = through(proxy, url)
        consumer, found, rounds = cut.consumer(["q"], 600), list[int](), 0
        while len(set(found)) < 40:
            held = persistently(lambda: consumer.take(600, PATIENCE))
            if rounds % 2 == 0:
                persistently(lambda: consumer.take(0, 0.1))
            if rounds % 5 == 3:
                proxy.cut()
            try:
                consumer.settle(held)
            except LeaseLost:
                pass  # they come again
            found += numbers(held)
            rounds += 1
        persistently(lambda: drain(consumer))
        consumer.close()
        cut.close()
    firsts = list(dict.fromkeys(found))
    assert firsts == list(range(40))
    assert single.depths(["q"])["q"].ready == 0


def drain(consumer: Any) -> None:
    """What comes once more."""
    while taken := consumer.take(600, 0.3):
        consumer.settle(taken)
