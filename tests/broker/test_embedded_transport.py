"""Kombu and Celery on the embedded broker: countdowns, acks from other threads, and kills that lose nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kombu
import pytest

from esb.broker.embedded import EmbeddedBroker
from esb.broker.port import Outgoing
from esb.errors import BrokerError
from esb.message import create
from esb.testing._broker.given import eventually

TRANSPORT = "esb.broker.embedded.transport:Transport"

WORKER = """
import celery, os, pathlib, sys
data, done, *pool = sys.argv[1:]
app = celery.Celery("t", set_as_current=False)
app.conf.update(
    broker_url="esb://localhost", broker_transport="esb.broker.embedded.transport:Transport",
    broker_transport_options={"data_dir": data}, task_acks_late=True, task_reject_on_worker_lost=True,
    worker_enable_remote_control=False, task_default_queue="work", worker_prefetch_multiplier=2,
)

@app.task(name="mark")
def mark(number):
    (pathlib.Path(done) / str(number)).touch()

if __name__ == "__main__":
    worker = app.WorkController(
        pool_cls=pool[0], concurrency=2, loglevel="ERROR",
        without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True,
    )
    worker.start()
"""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[kombu.Connection]:
    """A connection to an empty broker."""
    with connect(tmp_path) as connection:
        yield connection


def connect(data: Path) -> kombu.Connection:
    return kombu.Connection("esb://localhost", transport=TRANSPORT, transport_options={"data_dir": str(data)})


def put(connection: kombu.Connection, *numbers: int, **options: Any) -> None:
    producer = connection.Producer()
    for number in numbers:
        producer.publish({"n": number}, routing_key="work", declare=[kombu.Queue("work")], **options)


def take(connection: kombu.Connection, count: int) -> list[Any]:
    """So many messages, unacked."""
    found: list[Any] = []
    with connection.Consumer([kombu.Queue("work")], on_message=found.append, accept=["json"]):
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
    return found


def numbers(messages: list[Any]) -> list[int]:
    return [message.decode()["n"] for message in messages]


def waiting(connection: kombu.Connection) -> int:
    return connection.default_channel.queue_declare("work").message_count


def test_messages_come_in_order_and_an_ack_removes_the_row(connection: kombu.Connection) -> None:
    """What was acked is gone for every process; the delivery tag is the row."""
    put(connection, 1, 2, 3)
    found = take(connection, 3)
    assert numbers(found) == [1, 2, 3]
    assert all(isinstance(message.delivery_tag, int) for message in found)
    for message in found:
        message.ack()
    connection.close()
    assert waiting(connection) == 0


def test_what_is_not_acked_comes_again_as_redelivered(tmp_path: Path) -> None:
    """At its place, when the connection closes."""
    with connect(tmp_path) as first:
        put(first, 1, 2)
        take(first, 1)
    with connect(tmp_path) as second:
        found = take(second, 2)
        assert numbers(found) == [1, 2]


def test_a_reject_puts_back_in_place_or_drops(connection: kombu.Connection) -> None:
    """Requeued before what came later, dropped for good."""
    put(connection, 1, 2)
    first = take(connection, 1)[0]
    first.requeue()
    again = take(connection, 2)
    assert numbers(again) == [1, 2]
    again[0].reject()
    again[1].reject()
    assert waiting(connection) == 0


def test_acks_come_from_other_threads(connection: kombu.Connection) -> None:
    """The pool's threads ack while the consuming one waits, which then takes what its prefetch had no room for."""
    put(connection, *range(40))
    connection.default_channel.basic_qos(0, 2, False)
    found: list[int] = []
    acks: list[threading.Thread] = []

    def work(message: Any) -> None:
        found.append(message.decode()["n"])
        acks.append(threading.Thread(target=message.ack))
        acks[-1].start()

    with connection.Consumer([kombu.Queue("work")], on_message=work, accept=["json"]):
        while len(found) < 40:
            try:
                connection.drain_events(timeout=1)
            except TimeoutError:
                continue
        for ack in acks:
            ack.join()
    assert found == list(range(40))
    eventually(lambda: waiting(connection) == 0)


def test_bindings_are_seen_by_every_process(tmp_path: Path, connection: kombu.Connection) -> None:
    """What one connection bound, another publishes through; and no event of the bus goes there."""
    exchange = kombu.Exchange("jobs", "topic")
    kombu.Queue("work", exchange, "a.#")(connection.default_channel).declare()
    broker = EmbeddedBroker(tmp_path)
    broker.publisher().publish([Outgoing(create(b"{}", type="a.b", source="x"), "a.b", event=True)])
    broker.close()
    with connect(tmp_path) as other:
        other.Producer().publish({"n": 7}, exchange=exchange, routing_key="a.b", declare=[exchange])
    assert numbers(take(connection, 1)) == [7]
    assert waiting(connection) == 0


def test_a_queue_that_is_not_there_is_an_error(connection: kombu.Connection) -> None:
    """Nothing is dropped silently."""
    with pytest.raises(BrokerError, match="there is no such queue"):
        connection.Producer().publish({"n": 1}, routing_key="nowhere", retry=False)


def test_a_get_is_direct(connection: kombu.Connection) -> None:
    """Without consuming: one message, or None."""
    put(connection, 1)
    channel = connection.default_channel
    assert channel.basic_get("work").delivery_tag
    assert channel.basic_get("work") is None


# --- Celery -------------------------------------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Any]:
    """A Celery application, and workers of it to start and kill."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "done").mkdir()
    place = Work(tmp_path)
    yield place
    place.kill()


class Work:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._running: list[subprocess.Popen[bytes]] = []
        space: dict[str, Any] = {"__name__": "worker"}
        before, sys.argv = sys.argv, ["", str(root / "data"), str(root / "done")]
        exec(compile(WORKER, "worker", "exec"), space)
        sys.argv = before
        self.mark = space["mark"]

    def start(self, pool: str = "threads") -> None:
        command = [
            sys.executable,
            str(self._root / "worker.py"),
            str(self._root / "data"),
            str(self._root / "done"),
            pool,
        ]
        self._running.append(subprocess.Popen(command))

    def kill(self) -> None:
        while self._running:
            process = self._running.pop()
            process.kill()
            process.wait()

    def done(self) -> set[int]:
        return {int(file.name) for file in (self._root / "done").iterdir()}


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_countdowns_are_kept_in_the_queue(work: Any, pool: str) -> None:
    """A task with a countdown runs when it is due, not before, and does not wait in a worker's memory."""
    due = time.time() + 1.5
    work.mark.apply_async((1,), countdown=1.5)
    work.mark.delay(2)
    work.start(pool)
    eventually(lambda: 2 in work.done())
    assert 1 not in work.done() or time.time() >= due
    eventually(lambda: 1 in work.done())
    assert time.time() >= due


def test_workers_killed_again_and_again_lose_no_task(work: Any) -> None:
    """300 tasks, some with a countdown, and a kill -9 of the worker every so often."""
    for number in range(300):
        work.mark.apply_async((number,), countdown=0.5 if number % 10 == 0 else None)
    for kill in range(4):
        work.start()
        eventually(lambda least=(kill + 1) * 20: len(work.done()) >= least)
        work.kill()
    work.start()
    eventually(lambda: work.done() == set(range(300)))


def test_whoever_waits_for_a_message_can_be_interrupted(connection: kombu.Connection) -> None:
    """From another thread, once and for all: a worker that is to stop would wait for its time-out."""

    def wait() -> None:
        connection.drain_events(timeout=3600)

    with connection.Consumer([kombu.Queue("work")]), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        connection.transport.interrupt()
        with pytest.raises(TimeoutError):
            waiting.result()
        with pytest.raises(TimeoutError):
            wait()
