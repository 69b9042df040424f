"""Queues from which one consumer takes at a time: what keeps messages in their order over several processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from esb.broker.port import Broker, Consumer, Queue, Topology
from esb.testing._broker.given import BRIEFLY, PATIENCE, Scenarios, command, number, numbers, order, publish, take
from esb.testing._broker.programs import Program


class SingleScenarios(Scenarios):
    """One takes, the others wait for it to be gone."""

    @pytest.fixture
    def single(self, opener: Callable[[], Broker]) -> Broker:
        """The broker with a queue ``one`` that has one consumer at a time, and ten messages in it."""
        broker = opener()
        broker.declare(Topology((Queue("one", single=True),)))
        publish(broker, *(command(order(n), "one") for n in range(10)))
        return broker

    def test_one_consumer_gets_all_in_order_while_another_waits(
        self, opener: Callable[[], Broker], single: Broker
    ) -> None:
        """What the first does not take is not given to the second."""
        first, second = single.consumer(["one"], 4), opener().consumer(["one"], 4)
        held = take(first, 4)
        assert second.take(4, BRIEFLY) == []
        assert numbers(held) == [0, 1, 2, 3]
        first.settle(held)
        assert numbers(take(first, 4)) == [4, 5, 6, 7]

    def test_the_next_consumer_goes_on_where_the_first_was(self, opener: Callable[[], Broker], single: Broker) -> None:
        """A closed consumer's unsettled messages come first, and only then what nobody had."""
        first, second = single.consumer(["one"], 4), opener().consumer(["one"], 20)
        first.settle(take(first, 4)[:2])
        assert second.take(4, 0) == []
        first.close()
        assert numbers(take(second, 8)) == list(range(2, 10))

    def test_a_killed_process_is_followed_in_order(
        self, address: tuple[str, str], opener: Callable[[], Broker], single: Broker
    ) -> None:
        """SIGKILL hands everything on, in order; what the dead one held is suspect."""
        with Program("hold", address, "one", "b", 3) as program:
            program.wait_for("held", PATIENCE)
            second: Consumer = opener().consumer(["one"], 20)
            assert second.take(4, BRIEFLY) == []
            program.kill()
            found = take(second, 10)
        assert numbers(found) == list(range(10))
        assert all(d.redelivered for d in found if number(d) < 3)
