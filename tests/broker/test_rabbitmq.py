"""RabbitMQ under the shared suite, and what only a server on the network can do to us."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import kombu
import msgspec
import pytest

from esb.broker.port import Outcome, Outgoing, Queue, Topology
from esb.broker.rabbitmq import RabbitMqBroker, topology, wire
from esb.broker.rabbitmq.settings import parse, redact
from esb.errors import BrokerDown, ConfigError, LeaseLost, MessageError
from esb.message import Message, create
from esb.testing.broker import BrokerFeatures, BrokerSuite
from esb.testing.proxy import Proxy
from esb.testing.servers import wait_until

pytestmark = pytest.mark.rabbitmq

CONFIRMED, RETURNED, REFUSED = Outcome.CONFIRMED, Outcome.RETURNED, Outcome.REFUSED
PATIENCE = 20.0


@pytest.fixture
def url(rabbitmq: Any) -> str:
    """A virtual host of the test's own."""
    place = str(rabbitmq.vhost())
    if not rabbitmq.private:
        _empty(place)
    return place


def _empty(url: str) -> None:
    """A server that is not ours has one virtual host for all tests: take away what they declare there."""
    with kombu.Connection(url) as connection:
        channel = connection.channel()
        for name in ("a", "b", "q", "small", "wants", "exact", "star", "hash", "all", topology.UNROUTABLE):
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


def order(number: int, size: int = 0) -> Message:
    """A message that carries its number."""
    return create(b"x" * size, type="order", source="suite", headers={"n": str(number)})


def commands(count: int, queue: str = "a", size: int = 0) -> list[Outgoing]:
    """So many messages for one queue."""
    return [Outgoing(order(number, size), queue) for number in range(count)]


def publish(broker: RabbitMqBroker, batch: list[Outgoing]) -> list[Outcome]:
    """With a publisher of its own."""
    publisher = broker.publisher()
    try:
        return publisher.publish(batch)
    finally:
        publisher.close()


def drain(broker: RabbitMqBroker, queue: str, count: int) -> list[int]:
    """The numbers of all messages in a queue, waiting until at least ``count`` different ones came."""
    consumer, found = broker.consumer([queue], 500), []
    deadline = time.monotonic() + PATIENCE
    while len(set(found)) < count and time.monotonic() < deadline:
        taken = consumer.take(500, 0.5)
        consumer.settle(taken)
        found += [int(delivery.message.headers["n"]) for delivery in taken]
    consumer.close()
    return found


def persistently(work: Any) -> Any:
    """As a worker does it: try again as long as the broker is down."""
    deadline = time.monotonic() + 3 * PATIENCE
    while True:
        try:
            return work()
        except BrokerDown:
            assert time.monotonic() < deadline


def port_of(url: str) -> tuple[str, int]:
    """Host and port for a proxy."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 5672


def through(proxy: Proxy, url: str, options: str = "") -> RabbitMqBroker:
    """The same virtual host, reached through a proxy."""
    host, port = port_of(url)
    return RabbitMqBroker(url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}") + options)


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


def test_a_batch_larger_than_any_buffer_goes_through(broker: RabbitMqBroker) -> None:
    """Sixteen megabytes to nowhere come back while we still send, and nobody waits for the other."""
    assert publish(broker, commands(64, "nowhere", 256 * 1024)) == [RETURNED] * 64


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


def test_what_a_lost_connection_held_cannot_be_settled(broker: RabbitMqBroker, url: str) -> None:
    """Settling says that the lease is lost, and the message comes again, to the same consumer."""
    publish(broker, commands(2))
    with Proxy(port_of(url)) as proxy:
        consumer = through(proxy, url).consumer(["a"], 10)
        taken = consumer.take(10, PATIENCE)
        proxy.cut()
        wait_until(lambda: broker.depths(["a"])["a"].ready == 2, PATIENCE, "the server to take its messages back")
        with pytest.raises(LeaseLost):
            consumer.settle(taken)
        again = persistently(lambda: consumer.take(10, PATIENCE))
        assert [delivery.redelivered for delivery in again] == [True, True]
        with pytest.raises(LeaseLost):
            consumer.settle(taken)
        consumer.release(taken)
        consumer.settle(again)
        consumer.close()
    assert broker.depths(["a"])["a"].ready == 0


def test_settling_twice_is_noticed_and_harms_nobody(broker: RabbitMqBroker) -> None:
    """The second time the lease is lost, the others are still settled, and the channel lives."""
    publish(broker, commands(3))
    consumer = broker.consumer(["a"], 10)
    taken = consumer.take(3, PATIENCE)
    consumer.settle(taken[1:2])
    with pytest.raises(LeaseLost):
        consumer.settle(taken[:2])
    consumer.settle(taken[2:])
    consumer.close()
    assert publish(broker, commands(1)) == [CONFIRMED]
    assert drain(broker, "a", 1) == [0]


def test_only_what_was_settled_is_gone(broker: RabbitMqBroker) -> None:
    """A gap in what is settled stays a gap: the frame that settles many never covers it."""
    publish(broker, commands(6))
    consumer = broker.consumer(["a"], 10)
    taken = consumer.take(1, PATIENCE)
    while len(taken) < 5:
        taken += consumer.take(5 - len(taken), PATIENCE)
    consumer.settle([taken[4], taken[0], taken[2]])
    consumer.close()
    assert sorted(drain(broker, "a", 3)) == [1, 3, 5]


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


def test_a_memory_alarm_stops_publishing_in_bounded_time_and_nothing_else(private_rabbitmq: Any, url: str) -> None:
    """While the server takes no messages, a publish fails with the reason, consuming goes on, and it ends by itself."""
    broker = RabbitMqBroker(url + "?blocked_timeout=1")
    broker.declare(Topology((Queue("a"),)))
    publisher, consumer = broker.publisher(), broker.consumer(["a"], 10)
    publisher.publish(commands(5))
    private_rabbitmq.memory_alarm(True)
    try:
        wait_until(lambda: _blocked(publisher), PATIENCE, "the alarm to reach the connection")
        with pytest.raises(BrokerDown, match=r"blocked: .*alarm"):
            publisher.publish(commands(1))
        taken = consumer.take(5, PATIENCE)
        consumer.settle(taken)
        assert len(taken) == 5
    finally:
        private_rabbitmq.memory_alarm(False)
    assert persistently(lambda: publisher.publish(commands(1))) == [CONFIRMED]
    for each in (consumer, publisher, broker):
        each.close()


def _blocked(publisher: Any) -> bool:
    try:
        publisher.publish(commands(1))
    except BrokerDown as error:
        return "alarm" in str(error)
    return False


def test_a_silent_peer_is_noticed_and_closing_never_waits_for_it(broker: RabbitMqBroker, url: str) -> None:
    """Nothing comes any more though the connection stands: taking and publishing fail after two heartbeats."""
    with Proxy(port_of(url)) as proxy:
        other = through(proxy, url, "?heartbeat=1&confirm_timeout=1&read_timeout=1")
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
    other = RabbitMqBroker(url + "?heartbeat=1")
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
    with kombu.Connection(url) as connection:
        kombu.Queue("a", durable=True)(connection.channel()).declare()
    broker = RabbitMqBroker(url)
    broker.declare(Topology((Queue("a", ("made",), limit=10),)))
    assert publish(broker, [Outgoing(order(3), "made", event=True), Outgoing(order(4), "a")]) == [CONFIRMED] * 2
    assert drain(broker, "a", 2) == [3, 4]
    broker.close()


def test_a_delayed_message_whose_queue_is_gone_lies_in_the_net(broker: RabbitMqBroker, url: str) -> None:
    """Many of them hold up nobody else's retries, and each says where it was to go."""
    publish(
        broker, [Outgoing(order(n), "gone", delay=0.05) for n in range(40)] + [Outgoing(order(99), "a", delay=0.05)]
    )
    assert drain(broker, "a", 1) == [99]
    consumer = broker.consumer([topology.UNROUTABLE], 100)
    taken: list[Any] = []
    while len(taken) < 40:
        taken += consumer.take(100, PATIENCE)
    assert {delivery.properties["routed-to"] for delivery in taken} == {"gone"}
    consumer.settle(taken)
    consumer.close()


def test_a_queue_deleted_under_its_consumer_is_said_and_survived(broker: RabbitMqBroker, url: str) -> None:
    """Taking says what happened, and goes on when the queue is there again."""
    consumer = broker.consumer(["a", "b"], 10)
    consumer.take(1, 0)
    with kombu.Connection(url) as connection:
        connection.channel().queue_delete("a")
    with pytest.raises(BrokerDown, match="queue a was deleted"):
        consumer.take(1, PATIENCE)
    with pytest.raises(BrokerDown, match="no queue 'a'"):
        consumer.take(1, 0)
    broker.declare(Topology((Queue("a"),)))
    publish(broker, commands(1))
    assert len(persistently(lambda: consumer.take(1, PATIENCE))) == 1
    consumer.close()


FOREIGN: list[dict[str, Any]] = [
    {},
    {"content_type": "text/plain", "message_id": "m-1"},
    {"application_headers": {"compression": "application/x-gzip", "n": 1, "deep": {"a": [1, {"b": None}]}}},
    {"content_encoding": "gzip", "content_type": "application/x-python-serialize"},
    {
        "application_headers": {
            "x-death": [{"count": 1}],
            "CC": ["b"],
            "x-delivery-count": 3,
            "cloudEvents:time": "soon",
        }
    },
]


@pytest.mark.parametrize("properties", FOREIGN)
def test_a_foreign_message_is_a_message(broker: RabbitMqBroker, url: str, properties: dict[str, Any]) -> None:
    """Whatever its headers, its body arrives untouched, and what the broker noted in them goes no further."""
    body = b"\x80\x04not json\xff"
    with kombu.Connection(url) as connection:
        connection.channel().basic_publish(amqp.Message(body, **properties), exchange="", routing_key="a")
    consumer = broker.consumer(["a"], 1)
    (delivery,) = consumer.take(1, PATIENCE)
    assert delivery.message.body == body
    assert not {"x-death", "CC", "x-delivery-count"} & set(delivery.message.headers)
    assert delivery.message.id == properties.get("message_id", delivery.message.id)
    consumer.settle([delivery])
    consumer.close()


def test_a_kombu_client_reads_our_messages(broker: RabbitMqBroker, url: str) -> None:
    """Persistent, with message id, content type and CloudEvents headers, as any AMQP client sees them."""
    message = create(b"{}", type="order", source="pos", subject="4711", headers={"ö": "ü"})
    publish(broker, [Outgoing(message, "a")])
    with kombu.Connection(url) as connection:
        found = connection.channel().basic_get("a", no_ack=True)
    assert found.body == b"{}"
    assert found.properties["message_id"] == message.id
    assert (found.properties["content_type"], found.properties["delivery_mode"]) == ("application/json", 2)
    assert found.headers["cloudEvents:subject"] == "4711"
    assert found.headers["ö"] == "ü"


def test_headers_that_do_not_fit_are_refused_before_anything_is_sent(broker: RabbitMqBroker) -> None:
    """AMQP holds all headers in one frame; the message is named, and the publisher goes on."""
    publisher = broker.publisher()
    large = msgspec.structs.replace(order(1), headers={"n": "1", "h": "x" * 200_000})
    with pytest.raises(MessageError, match=large.id):
        publisher.publish([Outgoing(order(0), "a"), Outgoing(large, "a")])
    assert publisher.publish(commands(1)) == [CONFIRMED]
    publisher.close()
    assert broker.depths(["a"])["a"].ready == 1


def test_long_ids_and_content_types_are_cut_in_the_envelope_only() -> None:
    """AMQP's short strings hold 255 bytes; the message's own id is whole."""
    message = create(b"", id="ü" * 300, type="t", source="s", content_type="text/" + "x" * 300)
    frames = wire.Encoder(1, 131072).publish("", "a", message, {})
    assert b"t" in frames
    header = frames[frames.index(b"\xce") + 8 : -1]
    raw = wire.Raw(b"\x00\x3c\x00\x3c\x010" + b"\x00" * 8 + b"\x00\x00\x00")
    assert raw.take_header(header)
    assert wire.Decoder().decode(raw)[0].id == message.id


@pytest.mark.parametrize("position", range(0, 60, 7))
def test_a_broken_header_never_costs_the_body(position: int) -> None:
    """Bytes that are no header at all still give a message."""
    frames = wire.Encoder(1, 131072).publish("", "a", order(1), {})
    header = bytearray(frames[frames.index(b"\xce") + 8 : -1])
    header[12 + position : 13 + position] = b"\xff"
    raw = wire.Raw(b"\x00\x3c\x00\x3c\x010" + b"\x00" * 8 + b"\x00\x00\x00")
    for broken in (bytes(header), bytes(header[:position])):
        raw.header, raw.body = broken, b"body"
        assert wire.Decoder().decode(raw)[0].body == b"body"


# --- addresses, passwords, TLS ------------------------------------------------------------------------------------


def test_a_wrong_password_is_said_and_never_shown(rabbitmq: Any) -> None:
    """The error names the server and what to do; neither it nor any repr holds the password."""
    host, port = port_of(rabbitmq.url)
    broker = RabbitMqBroker(f"amqp://esb:s3cr%40t-canary@{host}:{port}/%2F")
    with pytest.raises(BrokerDown, match="check user, password and rights") as failure:
        broker.check()
    texts = [str(failure.value), *map(repr, (failure.value, failure.value.__cause__, broker, broker._settings))]
    assert not any("canary" in text or "s3cr" in text for text in texts)


def test_a_missing_virtual_host_is_named(rabbitmq: Any) -> None:
    """Not "connection reset", but what is missing."""
    broker = RabbitMqBroker(rabbitmq.url.replace("%2F", "nowhere"))
    with pytest.raises(BrokerDown, match=r"nowhere.*check the virtual host"):
        broker.check()


def test_nobody_there_is_broker_down() -> None:
    """Each use says so, and waits a little longer each time instead of spinning."""
    from esb.testing.servers import free_port

    publisher = RabbitMqBroker(f"amqp://127.0.0.1:{free_port()}").publisher()
    for _ in range(3):
        with pytest.raises(BrokerDown, match="refused"):
            publisher.publish(commands(1))
    publisher.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://u:pw@h/v?heartbeet=5", "did you mean heartbeat"),
        ("amqp://u:pw@h/v?heartbeat=soon", "number of seconds"),
        ("amqp://u:pw@h/v?heartbeat=0", "between 1 and 3600"),
        ("amqp://u:pw@h:port/v", r"amqp://u:\*\*\*@h:port/v"),
        ("http://u:pw@h", "must begin with amqp"),
    ],
)
def test_a_url_that_says_nonsense_is_a_config_error(url: str, reason: str) -> None:
    """With what is wrong, the nearest valid word, and without the password."""
    with pytest.raises(ConfigError, match=reason) as failure:
        parse(url)
    assert "pw" not in str(failure.value)


def test_a_url_is_read_with_its_escapes() -> None:
    """User, password and virtual host may hold any character."""
    settings = parse("amqps://u%40x:p%2Fw@broker.example:5999/v%2Fh?heartbeat=7&ca_certs=/etc/ca.pem")
    assert (settings.user, settings.password, settings.vhost) == ("u@x", "p/w", "v/h")
    assert (settings.host, settings.port, settings.heartbeat, settings.tls) == ("broker.example", 5999, 7, True)
    assert str(settings) == "amqps://broker.example:5999/v/h"
    assert redact("amqp://u:p@w@h/v") == "amqp://u:***@h/v"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate, good for ``localhost`` only."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    rest = ["subjectAltName=DNS:localhost", "-keyout", file, "-out", f"{file}.crt"]
    subprocess.run([*command.split(), *rest], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def _tls(certificate: Path, newest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # an old version is the point of it
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    return context


def test_tls_carries_messages_of_any_size(broker: RabbitMqBroker, url: str, certificate: Path) -> None:
    """Many records to a message, and many messages to a wait."""
    parts = urlsplit(url)
    with Proxy(port_of(url), _tls(certificate, ssl.TLSVersion.TLSv1_3)) as proxy:
        login = f"{parts.username}:{parts.password}@localhost:{proxy.port}{parts.path}"
        secure = RabbitMqBroker(f"amqps://{login}?ca_certs={certificate}.crt")
        assert publish(secure, commands(30, "a", 100_000)) == [CONFIRMED] * 30
        assert drain(secure, "a", 30) == list(range(30))
        secure.close()


@pytest.mark.parametrize(
    ("host", "trusted", "newest", "reason"),
    [
        ("127.0.0.1", True, ssl.TLSVersion.TLSv1_3, "mismatch|not valid for"),
        ("localhost", False, ssl.TLSVersion.TLSv1_3, "self.signed"),
        ("localhost", True, ssl.TLSVersion.TLSv1_1, "(?i)protocol|version|alert"),
    ],
)
def test_tls_is_refused_for_the_wrong_reasons_to_trust(
    rabbitmq: Any, certificate: Path, host: str, trusted: bool, newest: ssl.TLSVersion, reason: str
) -> None:
    """Another host's certificate, one that nobody vouches for, and TLS before 1.2 are no connection."""
    with Proxy(port_of(rabbitmq.url), _tls(certificate, newest)) as proxy:
        ca = f"?ca_certs={certificate}.crt" if trusted else ""
        broker = RabbitMqBroker(f"amqps://esb:pw@{host}:{proxy.port}/{ca}")
        with pytest.raises(BrokerDown, match=reason):
            broker.check()
