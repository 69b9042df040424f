"""Large messages: what a consumer holds is bounded in bytes too, and nothing is lost, doubled or overtaken for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from esb.broker.port import Broker, Consumer, Delivery, Outgoing, Queue, Topology
from esb.testing._broker.given import BRIEFLY, PATIENCE, Scenarios, command, nothing_in, number, numbers, order, publish

ENOUGH = 1_000_000  # bytes for one consumer, in these scenarios
LARGE = 200_000  # bytes of a body: five are enough
SLACK = 500_000  # bytes that may come on top of it: a message that has begun, a piece of the stream


class LargeScenarios(Scenarios):
    """Some megabytes where a few hundred kilobytes are usual."""

    @pytest.fixture
    def ordered(self, monkeypatch: pytest.MonkeyPatch, opener: Callable[[], Broker]) -> Broker:
        """The broker with a queue ``one`` that has one consumer at a time; a megabyte is enough to hold."""
        monkeypatch.setattr("esb.broker.port.MOST_OCTETS", ENOUGH)
        broker = opener()
        broker.declare(Topology((Queue("one", single=True),)))
        return broker

    @pytest.mark.parametrize("size", [20_000, LARGE])
    def test_no_more_bytes_are_held_than_are_enough(self, ordered: Broker, size: int) -> None:
        """However high its prefetch, a consumer is handed no further messages until it settles some."""
        publish(ordered, *(large(n, size) for n in range(3 * ENOUGH // size)))
        consumer = ordered.consumer(["one"], 600)
        held = take_all(consumer)
        assert numbers(held) == list(range(len(held)))
        assert ENOUGH <= octets(held) <= ENOUGH + SLACK
        consumer.settle(held)
        assert consumer.take(1, PATIENCE)[0].message.id != held[-1].message.id

    def test_large_messages_arrive_once_and_in_order(self, ordered: Broker) -> None:
        """Settled one by one, in pieces or all together, none is lost, none comes twice, none overtakes another."""
        publish(ordered, *(large(n) for n in range(40)))
        consumer, found = ordered.consumer(["one"], 600), list[int]()
        while len(found) < 40:
            taken = take_all(consumer)
            assert octets(taken) <= ENOUGH + SLACK
            consumer.settle(taken[:1])
            consumer.settle(taken[1:])
            found += numbers(taken)
        assert found == list(range(40))
        consumer.close()
        assert nothing_in(ordered, "one")

    def test_a_message_larger_than_all_that_is_enough_passes(self, ordered: Broker) -> None:
        """Among small ones, in its turn."""
        publish(ordered, large(0, 10), large(1, 3 * ENOUGH), large(2, 10), large(3, 2 * ENOUGH), large(4, 10))
        consumer, found = ordered.consumer(["one"], 600), list[int]()
        while len(found) < 5:
            taken = take_all(consumer)
            consumer.settle(taken)
            found += numbers(taken)
        assert found == list(range(5))

    def test_what_is_not_held_goes_to_the_next_consumer_in_order(
        self, ordered: Broker, opener: Callable[[], Broker]
    ) -> None:
        """A consumer that closes with its hands full leaves all of it, from the first unsettled on."""
        publish(ordered, *(large(n) for n in range(20)))
        first = ordered.consumer(["one"], 600)
        first.settle(take_all(first)[:2])
        second, found = opener().consumer(["one"], 600), list[int]()
        first.close()
        while len(found) < 18:
            taken = take_all(second)
            second.settle(taken)
            found += numbers(taken)
        assert found == list(range(2, 20))

    def test_a_paused_consumer_with_full_hands_leaves_the_rest_to_others(
        self, ordered: Broker, broker: Broker, opener: Callable[[], Broker]
    ) -> None:
        """What it handed out stays its own; the rest goes to another, and it takes again once it is resumed."""
        publish(broker, *(large(n, queue="a") for n in range(20)))
        paused, other = broker.consumer(["a"], 600), opener().consumer(["a"], 600)
        held = take_all(paused)
        paused.pause()
        found: list[int] = []
        while len(found) + len(held) < 20:
            taken = take_all(other)
            other.settle(taken)
            found += numbers(taken)
        assert sorted(numbers(held) + found) == list(range(20))
        other.close()
        publish(broker, large(20, queue="a"))
        paused.settle(held)
        paused.resume()
        assert numbers(paused.take(10, PATIENCE)) == [20]


def large(n: int, size: int = LARGE, queue: str = "one") -> Outgoing:
    """A message that carries its number, with a body of so many bytes."""
    return command(msgspec.structs.replace(order(n), body=bytes(size)), queue)


def octets(deliveries: list[Delivery]) -> int:
    """Bytes of their bodies."""
    return sum(len(delivery.message.body) for delivery in deliveries)


def take_all(consumer: Consumer) -> list[Delivery]:
    """As many as it is given before it settles any, at least one."""
    found = consumer.take(600, PATIENCE)
    assert found, f"nothing came within {PATIENCE} s"
    while taken := consumer.take(600, BRIEFLY):
        found += taken
    return sorted(found, key=number)
