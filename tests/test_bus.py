"""The composition root: what a start waits for, what it refuses, and how it ends."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from esb.broker.port import Outcome, Outgoing, event_key, flow_queue
from esb.bus import Bus, run
from esb.errors import BrokerDown, EsbError, LoginRefused, StoreDown, StoreError, Unreachable
from esb.testing.proxy import Proxy
from esb.testing.servers import free_port
from esb.wake import Stop
from esb.worker.life import persist
from esb.worker.topology import topology
from tests.forks import Fork
from tests.references import references
from tests.worker.rig import Rig, drive, endpoint_worker, feed, flow_worker, order, until


@pytest.fixture
def rig(tmp_path: Path, migrated_file: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, store=migrated_file)
    yield rig
    rig.close()


def nothing() -> None:
    """Nobody wants to know."""


def failing(*errors: Exception) -> Any:
    left = list(errors)

    def act() -> None:
        if left:
            raise left.pop(0)

    return act


# --- the start ----------------------------------------------------------------------------------------------------


def test_a_start_waits_for_broker_and_store() -> None:
    """Whichever comes first, and however often they go away again."""
    assert persist(failing(BrokerDown("not yet"), StoreDown("not yet")), Stop())


def test_a_start_that_waits_can_be_stopped() -> None:
    """It does not insist."""
    stop, tries = Stop(), []

    def act() -> None:
        tries.append(1)
        if len(tries) == 3:
            stop.set()
        raise BrokerDown("never")

    assert not persist(act, stop)
    assert len(tries) == 3


@pytest.mark.parametrize("error", [LoginRefused("who are you"), StoreError("no tables")])
def test_a_start_does_not_wait_for_what_will_not_come(error: EsbError) -> None:
    """A login that is refused, tables that are missing: somebody has to do something."""
    with pytest.raises(type(error)):
        persist(failing(error), Stop())


def test_bindings_of_the_last_definition_are_removed_even_after_a_death(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that died between declaring and activating is done again from what was in force before."""
    rig.write("contracts/order.placed/v1.json", "{}")
    rig.write("flows/told.yaml", "flow: told\nfrom: order.placed/v1\nsteps: [{send: target.put}]\n")
    rig.bus()
    rig.write("flows/told.yaml", "flow: told\nfrom: order/v1\nsteps: [{send: target.put}]\n")
    bus = rig.bus(prepare=False)
    with monkeypatch.context() as patch, pytest.raises(BrokerDown):
        patch.setattr(bus.broker, "declare", failing_with_argument)
        bus.prepare()
    bus.prepare()
    publisher = bus.broker.publisher()
    keys = [event_key("order.placed", 1), event_key("order", 1)]
    outcomes = publisher.publish([Outgoing(order(n), key, event=True) for n, key in enumerate(keys)])
    publisher.close()
    assert outcomes == [Outcome.RETURNED, Outcome.CONFIRMED]


def failing_with_argument(topology: object) -> None:
    raise BrokerDown("gone in the middle, says the test")


def test_every_delay_that_may_be_needed_has_a_queue(rig: Rig) -> None:
    """Those of the policies, the hold-back and the lease; long ones wait in the store."""
    rig.write("esb.yaml", "bus: rig\nworker: {{lease: 7s}}\nrecovery: {{delays: [1s, 3h]}}\n")
    found = topology(rig.bus(prepare=False).definition)
    assert found.delays == (1.0, 5.0, 7.0)


def test_an_adapter_whose_outside_is_not_there_does_not_stop_the_start(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and is tried when it is needed."""
    bus = rig.bus()

    def gone() -> None:
        raise Unreachable("the share is not mounted")

    monkeypatch.setattr(bus.adapters["target"], "open", gone)
    bus.open_adapters()


# --- a run --------------------------------------------------------------------------------------------------------


def test_a_run_carries_messages_from_source_to_target_and_ends_when_told(rig: Rig) -> None:
    """All workers together; afterwards no thread of theirs is left, and nobody takes this process for alive."""
    bus = rig.bus(prepare=False)
    gc.collect()  # expressions that loading dropped belong to this thread; `run` collects in its own
    stop = Stop()
    before = set(threading.enumerate())
    main = threading.Thread(target=run, args=(bus, stop, nothing))
    main.start()
    rig.outside("source").offer(b'{"number": 1, "key": "a"}\n{"number": 2, "key": "b"}\n')
    until(lambda: sorted(rig.outside("target").numbers()) == [1, 2], "both arrived", 20)
    until(lambda: rig.ledger().settled, "it settles")
    stop.set()
    main.join(15)
    assert not main.is_alive()
    ours = ("heartbeat", "sweeper", "endpoint", "flows", "inbound", "poll")
    until(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith(ours)], "all threads end")
    with bus.store.reading() as t:
        assert not t.leases.alive(bus.context.owner)
    assert rig.ledger().completed == 2


BUS = {
    "esb.yaml": 'bus: small\nbroker: "{broker}"\ndatabase: "{database}"\nworker: {{drain: 5s}}\n',
    "endpoints/box.yaml": """
endpoint: box
adapter: file
settings: {directory: box, pattern: "*.json", ready: rename}
receive: {poll: 100ms}
operations: {keep: {path: "kept/{message_id}.json"}}
""",
    "flows/keep.yaml": "flow: keep\nfrom: box\nsteps: [{send: box.keep}]\n",
}


def role(root: Path, broker: str = "embedded", database: str = "embedded") -> Fork:
    """The bus role of a small directory, as a process."""
    servers = references(root, broker, database)
    for name, text in BUS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.format(**servers) if name == "esb.yaml" else text)
    (root / "box").mkdir(exist_ok=True)
    return Fork("run", "--role", "bus", "-C", root, log=root / "log", env={"ESB_BROKER": "", "ESB_DATABASE": ""})


def ends(process: Fork) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(15)


def works(root: Path) -> None:
    """A message dropped comes out."""
    (root / "box" / "one.json").write_text("{}")
    until(lambda: list((root / "box" / "kept").glob("*.json")), "it is kept", 30)


def test_sigterm_ends_a_role_in_order(tmp_path: Path) -> None:
    """It drains, and says 0."""
    process = role(tmp_path)
    works(tmp_path)
    assert ends(process) == 0


def test_sigterm_ends_a_role_that_still_waits(tmp_path: Path) -> None:
    """For a broker that never comes: 0 as well."""
    process = role(tmp_path, broker="amqp://guest:guest@127.0.0.1:1/")
    until(lambda: "waiting for broker" in (tmp_path / "log").read_text(), "it waits", 20)
    assert ends(process) == 0


# --- on servers ---------------------------------------------------------------------------------------------------


def test_a_role_starts_before_its_broker_does(rabbitmq: Any, tmp_path: Path) -> None:
    """RabbitMQ can be reached later; the role goes on by itself."""
    url, port = urlsplit(rabbitmq.vhost()), free_port()
    there = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}")
    process = role(tmp_path, broker=urlunsplit(there))
    try:
        until(lambda: "waiting for broker" in (tmp_path / "log").read_text(), "it waits", 20)
        with Proxy((str(url.hostname), url.port or 5672), port=port):
            works(tmp_path)
            assert ends(process) == 0
    finally:
        process.kill()


def test_a_hop_without_our_frames_is_a_hop(rabbitmq: Any, tmp_path: Path, migrated_file: Path) -> None:
    """With one word in the broker's URL, py-amqp alone carries an order through its flow to its endpoint."""
    with closing(Rig(tmp_path, f"{rabbitmq.vhost()}?frames=plain", store=migrated_file)) as rig:
        bus = rig.bus()
        feed(bus, order(1), order(2))
        drive(flow_worker(bus), lambda: rig.ledger().sent == 2, "the flow has sent both")
        drive(endpoint_worker(bus), lambda: rig.ledger().done == 2, "the endpoint has both")
        assert sorted(rig.outside("target").numbers()) == [1, 2]


def test_a_wrong_password_of_rabbitmq_ends_the_start(rabbitmq: Any, rig: Rig) -> None:
    """With a text that says what to check, and without the password."""
    at = references(rig.root, broker=_with_password(rabbitmq.vhost(), "s3cret-canary"))
    rig.write("esb.yaml", f"bus: rig\nbroker: {at['broker']}\n")
    bus = rig.bus(prepare=False)
    with pytest.raises(LoginRefused, match="check user, password and rights") as caught:
        run(bus, Stop(), nothing)
    assert "s3cret-canary" not in str(caught.value)


def test_a_wrong_password_of_postgresql_ends_the_start(postgresql: Any, rig: Rig) -> None:
    """The same."""
    at = references(rig.root, database=_with_password(postgresql.database(), "s3cret-canary"))
    rig.write("esb.yaml", f"bus: rig\ndatabase: {at['database']}\n")
    bus = rig.bus(prepare=False)
    with pytest.raises(StoreError, match="check user and password") as caught:
        run(bus, _soon(), nothing)
    assert not isinstance(caught.value, StoreDown)


def test_a_database_without_tables_ends_the_start(postgresql: Any, rig: Rig) -> None:
    """And names the command that makes them."""
    rig.write("esb.yaml", f"bus: rig\ndatabase: {references(rig.root, database=postgresql.database())['database']}\n")
    with pytest.raises(StoreError, match="esb db upgrade"):
        run(rig.bus(prepare=False), _soon(), nothing)


def _soon() -> Any:
    """Told to stop after some seconds, so that a start that waits by mistake ends its test."""
    stop = Stop()
    timer = threading.Timer(10, stop.set)
    timer.daemon = True
    timer.start()
    return stop


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}"))


def test_the_definition_in_force_is_in_the_store(rig: Rig) -> None:
    """Under its hash, for whoever looks at a message of it later."""
    bus: Bus = rig.bus()
    with bus.store.reading() as t:
        assert t.definitions.active_hash() == bus.definition.hash
    feed(bus, order(1))
    assert rig.depth(flow_queue("main")) == 1
