"""Declaring, counting, dropping, closing."""

from __future__ import annotations

from typing import Any

import pytest

from esb.broker.port import Broker, Outgoing, Queue, Topology
from esb.testing._broker.given import (
    CONFIRMED,
    RETURNED,
    Scenarios,
    command,
    drain,
    eventually,
    nothing_in,
    numbers,
    order,
    publish,
    take,
)


class UpkeepScenarios(Scenarios):
    """What an operator and the supervisor do."""

    def test_depths_tell_what_lies_where(self, broker: Broker) -> None:
        """Waiting, taken and delayed messages are counted; a queue that does not exist is left out."""
        publish(broker, *(command(order(n)) for n in range(5)), Outgoing(order(9), "b", delay=30.0))
        consumer = broker.consumer(["a"], 2)
        take(consumer, 2)
        eventually(lambda: broker.depths(["a"])["a"].ready == 3)
        depths = broker.depths(["a", "b", "nowhere"])
        assert depths["a"].unsettled in (2, -1)
        assert (depths["b"].ready, depths["delayed"].ready) == (0, 1)
        assert "nowhere" not in depths

    def test_purge_drops_what_waits(self, broker: Broker) -> None:
        """Purging says how many it dropped, and leaves taken messages to who took them."""
        publish(broker, *(command(order(n)) for n in range(5)))
        consumer = broker.consumer(["a"], 2)
        held = take(consumer, 2)
        eventually(lambda: broker.depths(["a"])["a"].ready == 3)
        assert broker.purge("a") == 3
        consumer.settle(held)
        assert nothing_in(broker, "a")

    def test_declaring_again_changes_nothing_but_stale_bindings(self, broker: Broker) -> None:
        """Messages stay, wanted events still come, and a stale binding is gone."""
        broker.declare(Topology((Queue("q", ("old", "new")),)))
        publish(broker, Outgoing(order(1), "old", event=True))
        broker.declare(Topology((Queue("q", ("new",)),), stale=(("q", "old"), ("q", "never.there"))))
        outcomes = publish(broker, Outgoing(order(2), "old", event=True), Outgoing(order(3), "new", event=True))
        assert outcomes == [RETURNED, CONFIRMED]
        assert numbers(drain(broker, "q", 2)) == [1, 3]

    def test_check_says_a_sentence(self, broker: Broker) -> None:
        """A broker that is there says so in words."""
        assert broker.check()

    def test_what_was_just_made_holds_no_hazard(self, broker: Broker) -> None:
        """Nothing that the server would lose by itself."""
        assert broker.hazard() == ""

    def test_closing_twice_is_no_error(self, broker: Broker) -> None:
        """Everything may be closed again."""
        publisher, consumer = broker.publisher(), broker.consumer(["a"], 1)
        for thing in (publisher, publisher, consumer, consumer, broker, broker):
            thing.close()

    def test_confirmed_messages_outlive_the_server(self, broker: Broker, request: Any, opener: Any) -> None:
        """The server is killed and started again: everything that was confirmed is there."""
        if not self.features.server:
            pytest.skip("this broker has no server")
        publish(broker, *(command(order(n)) for n in range(50)))
        server = request.getfixturevalue("server")
        server.kill()
        server.start()
        assert sorted(numbers(drain(opener(), "a", 50))) == list(range(50))

    def test_what_was_confirmed_into_a_new_delay_outlives_the_server(
        self, broker: Broker, request: Any, opener: Any
    ) -> None:
        """It is made with its first message, and the server dies the moment that it has confirmed that."""
        if not self.features.server:
            pytest.skip("this broker has no server")
        assert publish(broker, Outgoing(order(1), "a", delay=2.5)) == [CONFIRMED]
        server = request.getfixturevalue("server")
        server.kill()
        server.start()
        assert numbers(drain(opener(), "a", 1)) == [1]
