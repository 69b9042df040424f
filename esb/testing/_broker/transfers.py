"""Delays, and the transfer from one queue to others, whatever dies on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from esb.broker.port import Broker, Delivery, Outcome, Outgoing
from esb.testing._broker.given import (
    CONFIRMED,
    PATIENCE,
    RETURNED,
    Scenarios,
    command,
    drain,
    drain_all,
    eventually,
    nothing_in,
    number,
    numbers,
    order,
    publish,
    take,
)
from esb.testing._broker.programs import Program


class DelayScenarios(Scenarios):
    """Messages that appear later."""

    def test_a_delayed_message_never_comes_early(self, broker: Broker) -> None:
        """It appears in its queue, but not before its time."""
        began = time.monotonic()
        assert publish(broker, Outgoing(order(1), "a", delay=0.5)) == [CONFIRMED]
        assert numbers(drain(broker, "a", 1)) == [1]
        assert time.monotonic() - began >= 0.5 - self.features.early

    def test_short_delays_never_wait_behind_long_ones(self, broker: Broker) -> None:
        """A retry of one second never waits behind one of an hour."""
        batch = [Outgoing(order(1), "a", delay=3600.0), Outgoing(order(2), "a", delay=1.0), command(order(3))]
        publish(broker, *batch)
        assert numbers(drain(broker, "a", 2)) == [3, 2]
        eventually(lambda: broker.depths(["a"])["delayed"].ready == 1)

    def test_a_message_may_be_delayed_many_times(self, broker: Broker) -> None:
        """Fifty hops through delays leave the message as it was."""
        message = order(1)
        publish(broker, Outgoing(message, "a", delay=0.02))
        consumer = broker.consumer(["a"], 10)
        for hop in range(50):
            taken = take(consumer, 1)
            again = [Outgoing(d.message, "a", delay=0.02, properties={"hop": str(hop)}) for d in taken]
            consumer.transfer(again, lambda outcomes, done=taken: done)  # type: ignore[misc]
        (last,) = take(consumer, 1)
        assert (last.message, last.properties["hop"]) == (message, "49")


class TransferScenarios(Scenarios):
    """Publishing results and settling inputs as one."""

    def test_transfer_publishes_and_settles(self, broker: Broker) -> None:
        """Commit sees the outcomes in order; then the results are there and the inputs gone."""
        publish(broker, *(command(order(n)) for n in range(3)))
        consumer, seen = broker.consumer(["a"], 10), []
        taken = take(consumer, 3)

        def commit(outcomes: list[Outcome]) -> Sequence[Delivery]:
            seen.extend(outcomes)
            return taken

        results = [command(order(10), "b"), Outgoing(order(11), "nowhere"), command(order(12), "b")]
        consumer.transfer(results, commit)
        consumer.close()
        assert seen == [CONFIRMED, RETURNED, CONFIRMED]
        assert numbers(drain(broker, "b", 2)) == [10, 12]
        assert nothing_in(broker, "a")

    def test_transfer_settles_only_what_commit_returns(self, broker: Broker) -> None:
        """What commit keeps back stays with the consumer."""
        publish(broker, *(command(order(n)) for n in range(3)))
        consumer = broker.consumer(["a"], 10)
        taken = take(consumer, 3)
        consumer.transfer([command(order(10), "b")], lambda outcomes: taken[:1])
        consumer.close()
        assert numbers(drain(broker, "a", 2)) == [1, 2]

    def test_a_commit_that_raises_settles_nothing(self, broker: Broker) -> None:
        """The error comes out, the inputs stay with the consumer, and a second try goes through."""
        publish(broker, command(order(1)))
        consumer = broker.consumer(["a"], 10)
        taken = take(consumer, 1)

        def commit(outcomes: list[Outcome]) -> Sequence[Delivery]:
            raise ValueError("the store is down")

        with pytest.raises(ValueError, match="the store is down"):
            consumer.transfer([command(order(10), "b")], commit)
        consumer.transfer([command(order(10), "b")], lambda outcomes: taken)
        consumer.close()
        assert set(numbers(drain(broker, "b", 1))) == {10}
        assert nothing_in(broker, "a")

    def test_a_batch_may_begin_before_the_last_is_concluded(self, broker: Broker) -> None:
        """Each commit sees the outcomes of its own batch, also where both send the same message nowhere."""
        publish(broker, *(command(order(n)) for n in range(2)))
        consumer, seen = broker.consumer(["a"], 10), []
        first, second = take(consumer, 2)

        def commit_of(delivery: Delivery) -> Callable[[list[Outcome]], Sequence[Delivery]]:
            def commit(outcomes: list[Outcome]) -> Sequence[Delivery]:
                seen.append(outcomes)
                return [delivery]

            return commit

        lost = Outgoing(order(9), "nowhere")
        one = consumer.begin([command(order(10), "b"), lost])
        two = consumer.begin([lost, command(order(11), "b"), command(order(12), "b")])
        one.conclude(commit_of(first))
        two.conclude(commit_of(second))
        consumer.close()
        assert seen == [[CONFIRMED, RETURNED], [RETURNED, CONFIRMED, CONFIRMED]]
        assert numbers(drain(broker, "b", 3)) == [10, 11, 12]
        assert nothing_in(broker, "a")

    def test_what_is_begun_and_not_concluded_is_not_settled(self, broker: Broker) -> None:
        """The inputs of a batch that nobody concluded come again."""
        publish(broker, command(order(1)))
        consumer = broker.consumer(["a"], 10)
        take(consumer, 1)
        consumer.begin([command(order(10), "b")])
        consumer.close()
        assert [(number(d), d.redelivered) for d in drain(broker, "a", 1)] == [(1, True)]

    def test_killed_inside_commit_the_inputs_come_again(self, broker: Broker, address: tuple[str, str]) -> None:
        """A process that dies before commit returned leaves its inputs, marked as redelivered."""
        publish(broker, *(command(order(n)) for n in range(5)))
        with Program("die-inside-commit", address, "a", "b", 5) as program:
            program.join(PATIENCE)
        assert sorted((number(d), d.redelivered) for d in drain(broker, "a", 5)) == [(n, True) for n in range(5)]

    def test_killed_after_transfer_nothing_comes_again(self, broker: Broker, address: tuple[str, str]) -> None:
        """A process that dies after transfer returned has done its work."""
        publish(broker, *(command(order(n)) for n in range(5)))
        with Program("die-after-transfer", address, "a", "b", 5) as program:
            program.join(PATIENCE)
        assert sorted(numbers(drain(broker, "b", 5))) == [0, 1, 2, 3, 4]
        assert nothing_in(broker, "a")

    def test_what_a_killed_process_held_comes_back(self, broker: Broker, address: tuple[str, str]) -> None:
        """SIGKILL takes nothing along: all that a process held comes again, once, as redelivered."""
        publish(broker, *(command(order(n)) for n in range(100)))
        with Program("hold", address, "a", "", 60) as program:
            program.wait_for("held", PATIENCE)
            program.kill()
        assert sorted(numbers(found := drain(broker, "a", 100))) == list(range(100))
        assert sum(d.redelivered for d in found) >= 60
        assert nothing_in(broker, "a")

    def test_a_relay_killed_at_random_loses_nothing(self, broker: Broker, address: tuple[str, str]) -> None:
        """Killed again and again between any two instructions, a relay loses nothing (atomic ones double nothing)."""
        total, rounds = 3000, self.features.kills
        publish(broker, *(command(order(n)) for n in range(total)))
        for kill in range(rounds):
            with Program("relay", address, "a", "b", 20) as program:
                program.wait_for("running", PATIENCE)
                eventually(lambda goal=total * (kill + 1) // (rounds + 3): broker.depths(["b"])["b"].ready >= goal)  # type: ignore[misc]
                program.kill()
        with Program("relay", address, "a", "b", 20) as program:
            program.wait_for("running", PATIENCE)
            found = drain_all(broker, "b", total)
        assert set(numbers(found)) == set(range(total))
        assert len(found) == total or not self.features.atomic_transfer
        assert nothing_in(broker, "b")
