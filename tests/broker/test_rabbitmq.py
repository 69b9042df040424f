"""RabbitMQ under the shared suite, and what only a server on the network can do to us."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import kombu
import pytest
from traffic import (
    CONFIRMED,
    PATIENCE,
    REFUSED,
    RETURNED,
    bare,
    both_ways,
    commands,
    drain,
    order,
    persistently,
    port_of,
    publish,
    through,
    with_options,
)

from esb.broker.port import Outgoing, Queue, Topology
from esb.broker.rabbitmq import RabbitMqBroker, topology
from esb.broker.rabbitmq import publisher as publishing
from esb.errors import BrokerDown, LeaseLost, MessageError
from esb.testing._broker.given import take
from esb.testing.broker import BrokerFeatures, BrokerSuite
from esb.testing.proxy import Proxy
from esb.testing.servers import wait_until

pytestmark = pytest.mark.rabbitmq


class TestRabbitMq(BrokerSuite):
    """The scenarios that every broker passes."""

    features = BrokerFeatures(server=True, kills=2)

    @pytest.fixture
    def address(self, url: str) -> tuple[str, str]:
        """The virtual host; there is no file."""
        return url, ""

    @pytest.fixture
    def server(self, private_rabbitmq: Any) -> Any:
        """The node, to be killed."""
        return private_rabbitmq


@both_ways
def test_confirms_find_their_messages_in_a_mixed_batch(broker: RabbitMqBroker) -> None:
    """Confirmed, returned and refused publishes in one batch, the same id among them twice, get their own outcomes."""
    broker.declare(Topology((Queue("small", limit=1),)))
    publisher = broker.publisher()
    while publisher.publish(commands(1, "small")) == [CONFIRMED]:
        pass
    twin = order(7)
    group = [
        (Outgoing(twin, "a"), CONFIRMED),
        (Outgoing(twin, "nowhere"), RETURNED),
        (Outgoing(order(1), "small"), REFUSED),
        (Outgoing(twin, "nobody", event=True), RETURNED),
        (Outgoing(twin, "a"), CONFIRMED),
    ]
    for _ in range(3):
        mixed = group * 60
        assert publisher.publish([each for each, _ in mixed]) == [outcome for _, outcome in mixed]
    publisher.close()


@both_ways
def test_a_batch_larger_than_any_buffer_goes_through(broker: RabbitMqBroker) -> None:
    """Sixteen megabytes to nowhere come back while we still send, and nobody waits for the other."""
    assert publish(broker, commands(64, "nowhere", 256 * 1024)) == [RETURNED] * 64


@both_ways
def test_connections_cut_under_load_lose_nothing(broker: RabbitMqBroker, url: str) -> None:
    """Cut again and again, publisher and relay go on by themselves, and everything arrives."""
    with Proxy(port_of(url)) as proxy:
        cut = through(proxy, url)
        publisher, relay = cut.publisher(), cut.consumer(["a"], 100)
        found: set[str] = set()

        def hop() -> None:
            taken = relay.take(50, 0.2)
            results = [Outgoing(delivery.message, "b") for delivery in taken]
            try:
                relay.transfer(results, lambda outcomes: taken)
            except LeaseLost:
                return
            found.update(delivery.message.headers["n"] for delivery in taken)

        for number in range(0, 500, 50):
            persistently(lambda: publisher.publish(commands(500)[number : number + 50]))
            proxy.cut()
            persistently(hop)
        deadline = time.monotonic() + PATIENCE
        while len(found) < 500 and time.monotonic() < deadline:
            persistently(hop)
        relay.close()
        publisher.close()
        cut.close()
    assert set(drain(broker, "b", 500)) == set(range(500))


def test_batches_pending_on_a_lost_connection_stay_unknown(broker: RabbitMqBroker, url: str) -> None:
    """Each is told so when it asks, also when the next batch has a new connection already."""
    with Proxy(port_of(url)) as proxy:
        cut = through(proxy, url)
        publisher = cut.publisher()
        publisher.publish(commands(1))
        proxy.silence()
        before = [publisher.begin(commands(2)) for _ in range(2)]
        proxy.cut()
        proxy.resume()
        assert persistently(lambda: publisher.publish(commands(3))) == [CONFIRMED] * 3
        for pending in before:
            with pytest.raises(BrokerDown, match="connection was lost"):
                pending.outcomes()
        publisher.close()
        cut.close()


@both_ways
def test_what_a_lost_connection_held_cannot_be_settled(broker: RabbitMqBroker, url: str) -> None:
    """Settling says that the lease is lost, and the message comes again, to the same consumer."""
    publish(broker, commands(2))
    with Proxy(port_of(url)) as proxy:
        consumer = through(proxy, url).consumer(["a"], 10)
        taken = take(consumer, 2)
        proxy.cut()
        wait_until(lambda: broker.depths(["a"])["a"].ready == 2, PATIENCE, "the server to take its messages back")
        with pytest.raises(LeaseLost):
            consumer.settle(taken)
        again = persistently(lambda: take(consumer, 2))
        assert [delivery.redelivered for delivery in again] == [True, True]
        with pytest.raises(LeaseLost):
            consumer.settle(taken)
        consumer.release(taken)
        consumer.settle(again)
        consumer.close()
    assert broker.depths(["a"])["a"].ready == 0


@both_ways
def test_settling_twice_is_noticed_and_harms_nobody(broker: RabbitMqBroker) -> None:
    """The second time the lease is lost, the others are still settled, and the channel lives."""
    publish(broker, commands(3))
    consumer = broker.consumer(["a"], 10)
    taken = take(consumer, 3)
    consumer.settle(taken[1:2])
    with pytest.raises(LeaseLost):
        consumer.settle(taken[:2])
    consumer.settle(taken[2:])
    consumer.close()
    assert publish(broker, commands(1)) == [CONFIRMED]
    assert drain(broker, "a", 1) == [0]


@both_ways
def test_only_what_was_settled_is_gone(broker: RabbitMqBroker) -> None:
    """A gap in what is settled stays a gap: the frame that settles many never covers it."""
    publish(broker, commands(6))
    consumer = broker.consumer(["a"], 10)
    taken = take(consumer, 5)
    consumer.settle([taken[4], taken[0], taken[2]])
    consumer.close()
    assert sorted(drain(broker, "a", 3)) == [1, 3, 5]


@both_ways
def test_prefetch_holds_for_all_queues_together(broker: RabbitMqBroker) -> None:
    """However many queues a consumer takes from, no more than its prefetch is handed out."""
    publish(broker, commands(20, "a") + commands(20, "b"))
    consumer = broker.consumer(["a", "b"], 10)
    held: list[Any] = []
    while taken := consumer.take(40, 0.3):
        held += taken
    assert len(held) == 10
    consumer.settle(held)
    assert consumer.take(40, PATIENCE)
    consumer.close()


@both_ways
def test_an_idle_publisher_whose_connection_died_just_publishes(broker: RabbitMqBroker, url: str) -> None:
    """Nothing was under way, so a new connection takes the place of the old without an error."""
    with Proxy(port_of(url)) as proxy:
        publisher = through(proxy, url).publisher()
        assert publisher.publish(commands(1)) == [CONFIRMED]
        proxy.cut()
        connected = publisher._link._connection.sock
        wait_until(lambda: _ended(connected), PATIENCE, "the end of the connection to arrive")
        assert publisher.publish(commands(1)) == [CONFIRMED]
        publisher.close()


def _ended(sock: Any) -> bool:
    import select

    return bool(select.select([sock], [], [], 0)[0])


def test_a_server_killed_and_started_again_loses_nothing_that_was_confirmed(private_rabbitmq: Any, url: str) -> None:
    """SIGKILL with messages in flight: what was confirmed comes out, and nobody has to be restarted."""
    broker = RabbitMqBroker(url)
    broker.declare(Topology((Queue("a"), Queue("b"))))
    publisher, consumer = broker.publisher(), broker.consumer(["a"], 200)
    numbers, confirmed, stop = iter(range(10**9)), set[int](), threading.Event()

    def work() -> None:
        while not stop.is_set():
            batch = [next(numbers) for _ in range(50)]
            outgoing = [Outgoing(order(number), "a") for number in batch]
            outcomes = persistently(lambda: publisher.publish(outgoing))
            confirmed.update(n for n, outcome in zip(batch, outcomes, strict=True) if outcome is CONFIRMED)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: len(confirmed) > 500, PATIENCE, "the first 500 confirms")
    held = consumer.take(100, PATIENCE)
    private_rabbitmq.kill()
    private_rabbitmq.start()
    before = len(confirmed)
    wait_until(lambda: len(confirmed) > before + 100, 3 * PATIENCE, "confirms from the new server")
    stop.set()
    thread.join(PATIENCE)
    with pytest.raises(LeaseLost):
        consumer.settle(held)
    found: set[int] = set()
    while not confirmed <= found:
        taken = persistently(lambda: consumer.take(500, PATIENCE))
        assert taken, f"{len(confirmed - found)} confirmed messages are gone"
        found.update(int(delivery.message.headers["n"]) for delivery in taken)
        consumer.settle(taken)
    for each in (consumer, publisher, broker):
        each.close()


@both_ways
def test_a_memory_alarm_stops_publishing_in_bounded_time_and_nothing_else(private_rabbitmq: Any, url: str) -> None:
    """While the server takes no messages, a publish fails with the reason, consuming goes on, and it ends by itself."""
    broker = RabbitMqBroker(with_options(url, "blocked_timeout=1"))
    broker.declare(Topology((Queue("a"),)))
    publisher, consumer = broker.publisher(), broker.consumer(["a"], 10)
    publisher.publish(commands(5))
    private_rabbitmq.memory_alarm(True)
    try:
        wait_until(lambda: _blocked(publisher), PATIENCE, "the alarm to reach the connection")
        with pytest.raises(BrokerDown, match=r"blocked: .*alarm"):
            publisher.publish(commands(1))
        for _ in range(5):  # one by one: they need not arrive together
            taken = consumer.take(1, PATIENCE)
            assert len(taken) == 1
            consumer.settle(taken)
    finally:
        private_rabbitmq.memory_alarm(False)
    assert persistently(lambda: publisher.publish(commands(1))) == [CONFIRMED]
    for each in (consumer, publisher, broker):
        each.close()


@both_ways
def test_a_limit_that_is_taken_away_refuses_nobody_for_ever(
    private_rabbitmq: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ goes on refusing on a channel that was refused when an operator took the limit away."""
    monkeypatch.setattr(publishing, "REFUSED", 0.5)
    broker, vhost = RabbitMqBroker(url), url.partition("?")[0].rpartition("/")[2]
    broker.declare(Topology((Queue("a"),)))
    publisher = broker.publisher()
    private_rabbitmq.set_policy(vhost, "^a$", **{"max-length": 1, "overflow": "reject-publish"})
    wait_until(lambda: publisher.publish(commands(1)) == [REFUSED], PATIENCE, "the queue to be full")
    private_rabbitmq.clear_policy(vhost)
    wait_until(lambda: publisher.publish(commands(1)) == [CONFIRMED], PATIENCE, "the publisher to be heard again")
    under_way = publisher.begin(commands(3))
    assert [*publisher.publish(commands(2)), *under_way.outcomes()] == [CONFIRMED] * 5
    publisher.close()
    broker.close()


@both_ways
def test_a_body_that_the_server_does_not_take_is_its_messages_fault(private_rabbitmq: Any, url: str) -> None:
    """The message is named, with the limit, by that batch alone; the publisher goes on."""
    private_rabbitmq.limit_messages(1_000_000)
    try:
        broker = RabbitMqBroker(url)
        broker.declare(Topology((Queue("a"),)))
        publisher, large = broker.publisher(), Outgoing(order(1, size=2_000_000), "a")
        with pytest.raises(MessageError, match=rf"{large.message.id} has 2000000 bytes; RabbitMQ takes 1000000"):
            publisher.publish([*commands(2), large])
        assert publisher.publish(commands(1)) == [CONFIRMED]
        publisher.close()
        broker.close()
    finally:
        private_rabbitmq.limit_messages()


def _blocked(publisher: Any) -> bool:
    try:
        publisher.publish(commands(1))
    except BrokerDown as error:
        return "alarm" in str(error)
    return False


@both_ways
def test_a_consumer_is_gone_with_its_last_user(broker: RabbitMqBroker) -> None:
    """Each recovery makes a new one; a collector that looks seldom would leave the descriptors of hundreds open."""
    broker.declare(Topology((Queue("q"),)))
    gc.disable()
    try:
        consumer = broker.consumer(["q"], 10)
        assert consumer.take(1, 0.0) == []
        consumer.close()
        gone = weakref.ref(consumer)
        del consumer
        assert gone() is None
    finally:
        gc.enable()


def test_an_error_names_the_queue_that_confirms_nothing(private_rabbitmq: Any, url: str) -> None:
    """The connection stands and other queues confirm, so nothing else would tell which one to look at."""
    broker = RabbitMqBroker(with_options(url, "confirm_timeout=1"))
    broker.declare(Topology((Queue("a"), Queue("b"))))
    publisher, batch = broker.publisher(), [Outgoing(order(1), "a"), Outgoing(order(2), "b")]
    publisher.publish(batch)  # a channel's first message to a queue waits for that queue alone
    private_rabbitmq.suspend_queue(url.rpartition("/")[2], "a")
    with pytest.raises(BrokerDown, match=r"1 of 2 publishes were not confirmed within 1 s: a$"):
        publisher.publish(batch)
    publisher.close()
    broker.close()


def test_a_silent_peer_is_noticed_and_closing_never_waits_for_it(broker: RabbitMqBroker, url: str) -> None:
    """Nothing comes any more though the connection stands: taking and publishing fail after two heartbeats."""
    with Proxy(port_of(url)) as proxy:
        other = through(proxy, url, "heartbeat=1&confirm_timeout=1&read_timeout=1")
        publisher, consumer = other.publisher(), other.consumer(["a"], 10)
        publisher.publish(commands(1))
        consumer.settle(consumer.take(1, PATIENCE))
        proxy.silence()
        with pytest.raises(BrokerDown, match=r"not confirmed|silent"):
            publisher.publish(commands(1))
        with pytest.raises(BrokerDown, match="silent"):
            consumer.take(1, PATIENCE)
        proxy.resume()
        assert persistently(lambda: publisher.publish(commands(1))) == [CONFIRMED]
        assert persistently(lambda: consumer.take(1, PATIENCE))
        proxy.silence()
        for each in (consumer, publisher, other):
            each.close()


def test_a_busy_owner_keeps_its_connection(broker: RabbitMqBroker, url: str) -> None:
    """Who works longer than the server waits for a heartbeat still holds its messages afterwards."""
    other = RabbitMqBroker(with_options(url, "heartbeat=1"))
    publish(broker, commands(1))
    consumer = other.consumer(["a"], 10)
    taken = consumer.take(1, PATIENCE)
    time.sleep(4)  # the server closes a connection that was silent for three of its heartbeats
    consumer.settle(taken)
    assert consumer.take(1, 0.3) == []
    consumer.close()
    other.close()
    assert broker.depths(["a"])["a"].ready == 0


def test_what_exists_is_left_as_it_is(url: str) -> None:
    """A classic queue of an earlier installation stays, is bound to its events and used."""
    with kombu.Connection(bare(url)) as connection:
        kombu.Queue("a", durable=True)(connection.channel()).declare()
    broker = RabbitMqBroker(url)
    broker.declare(Topology((Queue("a", ("made",), limit=10),)))
    assert publish(broker, [Outgoing(order(3), "made", event=True), Outgoing(order(4), "a")]) == [CONFIRMED] * 2
    assert drain(broker, "a", 2) == [3, 4]
    broker.close()


@both_ways
def test_queues_made_before_server_4_are_told_of(url: str) -> None:
    """Since 4.0 they drop what comes back too often; on an older server nothing does, and what is made now does not."""
    with kombu.Connection(bare(url)) as connection:
        channel = connection.channel()
        kombu.Queue(topology.UNROUTABLE, durable=True, queue_arguments={"x-queue-type": "quorum"})(channel).declare()
        broker = RabbitMqBroker(url)
        told = broker.hazard()
        assert ("delivery-limit" in told) is (topology.version(broker._link.server) >= topology.UNLIMITED)
        channel.queue_delete(topology.UNROUTABLE)
    broker.declare(Topology(()))
    assert broker.hazard() == ""
    broker.close()


def test_a_delayed_message_whose_queue_is_gone_lies_in_the_net(broker: RabbitMqBroker, url: str) -> None:
    """Many of them hold up nobody else's retries, and each says where it was to go."""
    publish(
        broker, [Outgoing(order(n), "gone", delay=0.05) for n in range(40)] + [Outgoing(order(99), "a", delay=0.05)]
    )
    assert drain(broker, "a", 1) == [99]
    consumer = broker.consumer([topology.UNROUTABLE], 100)
    taken = take(consumer, 40)
    assert {delivery.properties["routed-to"] for delivery in taken} == {"gone"}
    consumer.settle(taken)
    consumer.close()


@both_ways
def test_a_queue_deleted_under_its_consumer_is_said_and_made_again(broker: RabbitMqBroker, url: str) -> None:
    """Taking says what happened; then the queue is there again, and wants the same events."""
    broker.declare(Topology((Queue("a", ("made",)), Queue("b"))))
    publish(broker, [Outgoing(order(7), "b")])
    consumer = broker.consumer(["b", "a"], 10)
    consumer.settle(consumer.take(1, PATIENCE))
    with kombu.Connection(bare(url)) as connection:
        connection.channel().queue_delete("a")
    with pytest.raises(BrokerDown, match="queue a was deleted"):
        consumer.take(1, PATIENCE)
    publish(broker, [Outgoing(order(8), "b")])
    assert [int(d.message.headers["n"]) for d in persistently(lambda: consumer.take(1, PATIENCE))] == [8]
    publish(broker, [Outgoing(order(3), "made", event=True), Outgoing(order(4), "a")])
    taken = take(consumer, 2)
    assert sorted(int(d.message.headers["n"]) for d in taken) == [3, 4]
    consumer.close()


def test_a_queue_that_was_never_declared_is_said(broker: RabbitMqBroker) -> None:
    """Nobody knows what it should be like."""
    consumer = broker.consumer(["nowhere"], 10)
    with pytest.raises(BrokerDown, match="no queue 'nowhere'"):
        consumer.take(1, 0)
    consumer.close()
