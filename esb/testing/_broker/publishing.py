"""Publishing: what arrives, where, and what the publisher is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest

from esb.broker.port import Broker, Outgoing, Queue, Topology
from esb.message import create
from esb.testing._broker.given import (
    CONFIRMED,
    PATIENCE,
    REFUSED,
    RETURNED,
    Scenarios,
    command,
    drain,
    eventually,
    nothing_in,
    number,
    numbers,
    order,
    publish,
    take,
)


class PublishScenarios(Scenarios):
    """From a publisher to a consumer."""

    def test_a_message_is_published_taken_and_settled(self, broker: Broker) -> None:
        """A message arrives as it was sent, and once settled is gone."""
        message = order(1)
        assert publish(broker, command(message)) == [CONFIRMED]
        consumer = broker.consumer(["a"], 10)
        (delivery,) = take(consumer, 1)
        assert (delivery.message, delivery.queue, delivery.redelivered) == (message, "a", False)
        consumer.settle([delivery])
        eventually(lambda: broker.depths(["a"])["a"].ready == 0)
        consumer.close()
        assert nothing_in(broker, "a")

    def test_a_queue_keeps_its_order(self, broker: Broker) -> None:
        """Messages of several batches come out as they went in."""
        publisher = broker.publisher()
        for first in range(0, 300, 50):
            publisher.publish([command(order(n)) for n in range(first, first + 50)])
        assert numbers(drain(broker, "a", 300)) == list(range(300))

    def test_messages_outlive_the_broker_object(self, broker: Broker, opener: Callable[[], Broker]) -> None:
        """What was confirmed is there for whoever opens the broker next."""
        publish(broker, *(command(order(n)) for n in range(5)))
        broker.close()
        assert numbers(drain(opener(), "a", 5)) == [0, 1, 2, 3, 4]

    def test_a_consumer_of_two_queues_gets_both(self, broker: Broker) -> None:
        """A long queue does not keep the messages of a short one from coming, and each says where it lay."""
        publish(broker, *(command(order(n)) for n in range(100)), command(order(100), "b"))
        consumer = broker.consumer(["a", "b"], 200)
        taken = take(consumer, 101)
        assert {d.queue for d in taken if number(d) == 100} == {"b"}
        assert [number(d) for d in taken if d.queue == "a"] == list(range(100))

    def test_every_attribute_of_a_message_travels(self, broker: Broker) -> None:
        """Attributes, headers in any script and a body of any bytes arrive unchanged."""
        message = create(
            bytes(range(256)),
            type="order.placed",
            version=3,
            source="/till/4",
            subject="größe ✓ 注文",
            time=1700000000.125,
            content_type="application/octet-stream",
            correlation_id="c-1",
            causation_id="p-1",
            epoch=2,
            headers={"x-store": "Zürich", "x-empty": "", "x-注文": "🛒"},
        )
        publish(broker, command(message))
        assert drain(broker, "a", 1)[0].message == message

    @pytest.mark.parametrize("size", [0, 1, 9 * 1024**2], ids=["empty", "a byte", "9 MB"])
    def test_a_body_may_be_of_any_size(self, broker: Broker, size: int) -> None:
        """Empty and large bodies arrive unchanged, among others."""
        body = b"\xff" * size
        publish(broker, command(order(0)), command(msgspec.structs.replace(order(1), body=body)), command(order(2)))
        assert drain(broker, "a", 3)[1].message.body == body

    def test_properties_travel_beside_the_message(self, broker: Broker) -> None:
        """The bus's own small headers arrive, and the message does not hold them."""
        message = order(1)
        publish(broker, Outgoing(message, "a", properties={"esb-attempt": "3", "esb-why": "zu spät"}))
        (delivery,) = drain(broker, "a", 1)
        assert dict(delivery.properties) == {"esb-attempt": "3", "esb-why": "zu spät"}
        assert delivery.message == message

    def test_an_empty_batch_is_no_error(self, broker: Broker) -> None:
        """Nothing to publish, settle or release is done at once."""
        consumer = broker.consumer(["a"], 10)
        assert publish(broker) == []
        consumer.settle([])
        consumer.release([])
        consumer.transfer([], lambda outcomes: [])

    def test_publishers_in_many_threads_lose_nothing(self, broker: Broker) -> None:
        """Each thread has its own publisher, and all that they publish arrives."""

        def work(first: int) -> None:
            publisher = broker.publisher()
            for n in range(first, first + 100, 10):
                publisher.publish([command(order(n + i)) for i in range(10)])
            publisher.close()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(numbers(drain(broker, "a", 400))) == list(range(400))


class OutcomeScenarios(Scenarios):
    """Events, and what becomes of each message of a batch."""

    def test_an_event_goes_to_all_who_want_it(self, broker: Broker) -> None:
        """Patterns with * and # match as in AMQP; a queue with two patterns that match gets one copy."""
        wants = {"exact": ("sale.made.v1",), "star": ("sale.*.v1", "sale.made.v1"), "hash": ("sale.#",), "all": ("#",)}
        broker.declare(Topology(tuple(Queue(name, events) for name, events in wants.items())))
        keys = ("sale.made.v1", "sale.void.v1", "sale", "sale.made.v1.x", "other")
        outcomes = publish(broker, *(Outgoing(order(n), key, event=True) for n, key in enumerate(keys)))
        assert outcomes == [CONFIRMED] * 5
        expected = {"exact": [0], "star": [0, 1], "hash": [0, 1, 2, 3], "all": [0, 1, 2, 3, 4]}
        found = {name: numbers(drain(broker, name, len(expected[name]))) for name in wants}
        assert found == expected
        assert all(nothing_in(broker, name) for name in wants)

    def test_what_has_no_queue_is_returned(self, broker: Broker) -> None:
        """A command to a queue that does not exist and an event nobody wants both come back as returned."""
        lost = [Outgoing(order(1), "nowhere"), Outgoing(order(2), "nobody.wants", event=True)]
        assert publish(broker, *lost) == [RETURNED, RETURNED]

    def test_a_full_queue_refuses(self, broker: Broker) -> None:
        """Over its limit a queue takes no more, and takes again once there is room; the confirmed are all there."""
        broker.declare(Topology((Queue("small", limit=5),)))
        publisher, confirmed, outcome = broker.publisher(), 0, CONFIRMED
        while outcome is CONFIRMED and confirmed < 500:
            (outcome,) = publisher.publish([command(order(confirmed), "small")])
            confirmed += outcome is CONFIRMED
        assert outcome is REFUSED
        assert confirmed == 5 or not self.features.exact_limits
        assert numbers(drain(broker, "small", confirmed)) == list(range(confirmed))
        eventually(lambda: publisher.publish([command(order(99), "small")]) == [CONFIRMED])

    def test_outcomes_line_up_with_their_messages(self, broker: Broker) -> None:
        """In a mixed batch each message gets its own outcome, and exactly the confirmed arrive."""
        broker.declare(Topology((Queue("wants", ("good",)),)))
        batch = [
            (command(order(0)), CONFIRMED),
            (Outgoing(order(1), "nowhere"), RETURNED),
            (Outgoing(order(2), "good", event=True), CONFIRMED),
            (Outgoing(order(3), "bad", event=True), RETURNED),
            (command(order(4)), CONFIRMED),
        ] * 20
        assert publish(broker, *(outgoing for outgoing, _ in batch)) == [outcome for _, outcome in batch]
        assert numbers(drain(broker, "a", 40)) == [0, 4] * 20
        assert numbers(drain(broker, "wants", 20)) == [2] * 20
