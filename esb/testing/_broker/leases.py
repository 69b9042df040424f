"""Taking: who may settle what, and what comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from esb.broker.port import Broker
from esb.testing._broker.given import (
    BRIEFLY,
    PATIENCE,
    Scenarios,
    command,
    drain,
    nothing_in,
    number,
    numbers,
    order,
    publish,
    take,
)


class LeaseScenarios(Scenarios):
    """The right to settle."""

    def test_what_a_closed_consumer_held_comes_again_as_redelivered(self, broker: Broker) -> None:
        """Closing puts back all that was not settled, in its order, and it is suspect from then on."""
        publish(broker, *(command(order(n)) for n in range(4)))
        first = broker.consumer(["a"], 4)
        taken = take(first, 4)
        first.settle(taken[:1])
        first.close()
        again = drain(broker, "a", 3)
        assert [(number(d), d.redelivered) for d in again] == [(1, True), (2, True), (3, True)]
        assert nothing_in(broker, "a")

    def test_what_is_released_comes_again_unblamed(self, broker: Broker) -> None:
        """Released messages come back, not redelivered where the broker can tell the difference."""
        publish(broker, *(command(order(n)) for n in range(3)))
        consumer = broker.consumer(["a"], 3)
        consumer.release(take(consumer, 3))
        again = take(consumer, 3)
        assert sorted(numbers(again)) == [0, 1, 2]
        if self.features.release_unblamed:
            assert not any(d.redelivered for d in again)
            assert numbers(again) == [0, 1, 2]

    def test_two_consumers_share_no_message(self, opener: Callable[[], Broker], broker: Broker) -> None:
        """Consumers of one queue compete, each message goes to one of them."""
        publish(broker, *(command(order(n)) for n in range(200)))
        consumers = [broker.consumer(["a"], 20), opener().consumer(["a"], 20)]
        found: list[int] = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < 200 and time.monotonic() < deadline:
            for consumer in consumers:
                taken = consumer.take(10, 0.05)
                consumer.settle(taken)
                found += numbers(taken)
        assert sorted(found) == list(range(200))

    def test_prefetch_is_a_ceiling(self, broker: Broker) -> None:
        """A consumer never holds more than its prefetch; settling makes room."""
        publish(broker, *(command(order(n)) for n in range(30)))
        consumer = broker.consumer(["a"], 10)
        held = take(consumer, 10)
        assert consumer.take(10, BRIEFLY) == []
        consumer.settle(held[:4])
        assert numbers(take(consumer, 4)) == [10, 11, 12, 13]
        assert consumer.take(10, BRIEFLY) == []

    def test_a_paused_consumer_leaves_messages_to_others(self, broker: Broker) -> None:
        """Paused, it takes nothing and what it had not handed out goes to others; what it handed out stays its own."""
        publish(broker, *(command(order(n)) for n in range(20)))
        paused, other = broker.consumer(["a"], 20), broker.consumer(["a"], 20)
        held = take(paused, 5, at_most=5)
        paused.pause()
        assert paused.take(10, 0.05) == []
        rest = take(other, 15)
        assert sorted(numbers(held) + numbers(rest)) == list(range(20))
        other.settle(rest)
        publish(broker, command(order(20)))
        other.pause()
        paused.resume()
        assert numbers(take(paused, 1)) == [20]
        paused.settle(held)

    def test_a_full_worker_only_waits(self, broker: Broker) -> None:
        """With a limit of 0 nothing is taken."""
        publish(broker, command(order(1)))
        consumer = broker.consumer(["a"], 10)
        assert consumer.take(0, 0.05) == []
        assert numbers(take(consumer, 1)) == [1]

    def test_wake_ends_a_wait(self, broker: Broker) -> None:
        """Another thread's wake makes a waiting take return without messages."""
        consumer = broker.consumer(["a"], 10)
        waker = threading.Timer(BRIEFLY, consumer.wake)
        waker.start()
        began = time.monotonic()
        assert consumer.take(10, 10 * PATIENCE) == []
        assert time.monotonic() - began < PATIENCE

    def test_wake_holds_up_no_settlement(self, broker: Broker) -> None:
        """A wake that no take has heard yet does not make settling wait for the network."""
        consumer = broker.consumer(["a"], 10)
        publish(broker, command(order(1)), command(order(2)))
        taken = [*consumer.take(1, PATIENCE), *consumer.take(1, PATIENCE)]
        began = time.monotonic()
        for delivery in taken:
            consumer.wake()
            consumer.settle([delivery])
        assert time.monotonic() - began < PATIENCE

    def test_a_message_ends_a_wait(self, broker: Broker, opener: Callable[[], Broker]) -> None:
        """A take that waits returns when somebody publishes."""
        consumer = broker.consumer(["a"], 10)
        other = opener()
        threading.Timer(0.1, lambda: publish(other, command(order(7)))).start()
        assert numbers(consumer.take(10, PATIENCE)) == [7]
