"""The embedded broker under the shipped suite, and what is particular to it."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pytest

from esb.broker import open_broker
from esb.broker.embedded import EmbeddedBroker, database, tables
from esb.broker.embedded.broker import EmbeddedPublisher
from esb.broker.embedded.consumer import EmbeddedConsumer
from esb.broker.embedded.database import Database, Gate
from esb.broker.embedded.inotify import Inotify, Polling, source
from esb.broker.port import Outcome, Outgoing, Queue, Topology
from esb.errors import BrokerDown, BrokerError, LeaseLost
from esb.testing._broker.given import PATIENCE, command, drain, eventually, nothing_in, numbers, order, publish, take
from esb.testing._broker.programs import Program
from esb.testing.broker import BrokerFeatures, BrokerSuite
from esb.write_ahead_log import LIMIT, WriteAheadLog

HELD_BY_A_CHILD = """
import os, sys, time
from esb.broker import open_broker
consumer = open_broker("embedded", sys.argv[1]).consumer(["a"], 10)
print(len(consumer.take(10, 20)), flush=True)
child = os.fork()
if child == 0:
    try:
        consumer.take(1, 0)
        print("taken", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), 9)
"""


class TestEmbedded(BrokerSuite):
    """The shipped scenarios."""

    features = BrokerFeatures(atomic_transfer=True, exact_limits=True, release_unblamed=True, kills=10)

    @pytest.fixture
    def address(self, tmp_path: Path) -> tuple[str, str]:
        """A data directory of the test's own."""
        return "embedded", str(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker with two queues."""
    broker = EmbeddedBroker(tmp_path)
    broker.declare(Topology((Queue("a"), Queue("b"))))
    yield broker
    broker.close()


def taken_over(consumer: EmbeddedConsumer) -> None:
    """What another process does to an owner that stood still."""
    with consumer._database.transaction("take over") as sql:
        assert tables.reclaim(sql, consumer._owner.id)


# --- leases -------------------------------------------------------------------------------------------------------


def test_a_stopped_process_loses_what_it_took(tmp_path: Path) -> None:
    """A process that exists but does not run (SIGSTOP) holds messages no longer than allowed."""
    broker = EmbeddedBroker(tmp_path, stuck_after=0.5)
    broker.declare(Topology((Queue("a"),)))
    publish(broker, *(command(order(n)) for n in range(5)))
    with Program("hold", ("embedded", str(tmp_path)), "a", "", 5) as program:
        program.wait_for("held", PATIENCE)
        program._process.send_signal(signal.SIGSTOP)
        found = drain(broker, "a", 5)
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert all(delivery.redelivered for delivery in found)
    broker.close()


def test_a_living_process_keeps_what_it_took(tmp_path: Path) -> None:
    """While its owner shows that it runs, nobody takes a message away, however long it is held."""
    broker = EmbeddedBroker(tmp_path, stuck_after=0.3)
    broker.declare(Topology((Queue("a"),)))
    publish(broker, command(order(1)))
    holder, other = broker.consumer(["a"], 1), EmbeddedBroker(tmp_path, stuck_after=0.3)
    held = take(holder, 1)
    assert other.consumer(["a"], 1).take(1, 1.0) == []
    holder.settle(held)
    other.close()
    broker.close()


def test_settling_what_was_taken_over_is_refused(broker: EmbeddedBroker) -> None:
    """Who lost a lease cannot settle, though the consumer goes on; the others of the batch are settled."""
    publish(broker, *(command(order(n)) for n in range(3)))
    consumer = broker.consumer(["a"], 3)
    lost = take(consumer, 2)
    taken_over(consumer)
    assert numbers(consumer.take(1, 0)) == [0]
    other = broker.consumer(["a"], 3)
    rest = take(other, 2)
    with pytest.raises(LeaseLost, match="1 of 2 messages could not be settled"):
        consumer.settle(lost)
    with pytest.raises(LeaseLost):
        consumer.release(lost[1:])
    other.settle(rest)
    depth = broker.depths(["a"])["a"]
    assert (depth.ready, depth.unsettled) == (0, 0)


def test_a_transfer_of_what_was_taken_over_publishes_nothing(broker: EmbeddedBroker) -> None:
    """The results are not written either, so that the copy which runs elsewhere doubles nothing."""
    publish(broker, command(order(1)))
    consumer = broker.consumer(["a"], 1)
    lost = take(consumer, 1)
    taken_over(consumer)
    with pytest.raises(LeaseLost, match="nor their results published"):
        consumer.transfer([command(order(2), "b")], lambda outcomes: lost)
    assert nothing_in(broker, "b")
    again = take(consumer, 1)
    consumer.transfer([command(order(2), "b")], lambda outcomes: again)
    assert numbers(drain(broker, "b", 1)) == [2]


def test_a_forked_child_neither_uses_nor_keeps_a_lease(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The child's copy of a consumer is closed, and when the parent is killed its messages come back at once."""
    publish(broker, *(command(order(n)) for n in range(10)))
    program = [sys.executable, "-c", HELD_BY_A_CHILD, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin and parent.stdout
        assert [parent.stdout.readline().strip() for _ in range(2)] == ["10", "BrokerError"]
        assert parent.wait(PATIENCE) == -signal.SIGKILL
        assert numbers(drain(broker, "a", 10)) == list(range(10))


def test_nothing_remains_of_the_dead(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Files and rows of owners go with them, whether closed or killed."""
    broker.consumer(["a"], 1).close()
    with Program("hold", ("embedded", str(tmp_path)), "a", "", 0) as program:
        program.wait_for("held", PATIENCE)
    alive = broker.consumer(["a"], 1)
    eventually(lambda: [path.name for path in (tmp_path / "owners").iterdir()] == [str(alive._owner.id)])
    assert tables.owners(alive._database.sql) == [alive._owner.id]


def test_two_relays_killed_in_turn_double_nothing(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """While one relay is killed another works on the same queue: every message is moved once."""
    total = 3000
    publish(broker, *(command(order(n)) for n in range(total)))
    address = ("embedded", str(tmp_path))
    with Program("relay", address, "a", "b", 10) as steady:
        steady.wait_for("running", PATIENCE)
        for kill in range(5):
            with Program("relay", address, "a", "b", 10) as program:
                program.wait_for("running", PATIENCE)
                eventually(lambda goal=total * (kill + 1) // 8: broker.depths(["b"])["b"].ready >= goal)  # type: ignore[misc]
        found = drain(broker, "b", total)
    assert sorted(numbers(found)) == list(range(total))


# --- waking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Inotify, Polling])
def test_a_commit_elsewhere_is_heard_of(broker: EmbeddedBroker, tmp_path: Path, kind: type) -> None:
    """Both ways of listening hear of a message that somebody else published."""
    database = Database(tmp_path / "broker.db")
    ears = kind() if kind is Inotify else kind(database)
    key = ears.add(broker._bells.path(1))
    assert ears.wait(0.02) == set()
    publish(broker, command(order(1)))
    assert ears.wait(PATIENCE) in ({key}, None)
    ears.interrupt()
    assert ears.wait(PATIENCE) == set()
    ears.close()
    database.close()


def test_without_inotify_the_broker_polls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no inotify is to be had, messages are heard of all the same."""

    def refuse(self: Inotify) -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(Inotify, "__init__", refuse)
    broker, other = EmbeddedBroker(tmp_path), EmbeddedBroker(tmp_path)
    assert isinstance(source(broker._database), Polling)
    broker.declare(Topology((Queue("a"),)))
    consumer = broker.consumer(["a"], 10)
    publish(other, command(order(1)))
    assert numbers(take(consumer, 1)) == [1]
    broker.close()
    other.close()


def test_a_wake_before_the_wait_is_not_lost(broker: EmbeddedBroker) -> None:
    """A wake that comes between two takes ends the next one."""
    consumer = broker.consumer(["a"], 10)
    consumer.wake()
    assert consumer.take(10, 1000) == []


# --- routing ------------------------------------------------------------------------------------------------------


def test_a_publisher_notices_what_another_declared(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Queues and bindings that another process adds or removes hold from the next batch on."""
    publisher, other = broker.publisher(), EmbeddedBroker(tmp_path)
    batch = [Outgoing(order(1), "late.v1", event=True), command(order(2), "late")]
    assert publisher.publish(batch) == [Outcome.RETURNED] * 2
    other.declare(Topology((Queue("late", ("late.*",)),)))
    assert publisher.publish(batch) == [Outcome.CONFIRMED] * 2
    other.declare(Topology((), stale=(("late", "late.*"),)))
    assert publisher.publish(batch) == [Outcome.RETURNED, Outcome.CONFIRMED]
    other.close()


def test_an_event_that_one_queue_refuses_goes_to_none(broker: EmbeddedBroker) -> None:
    """So that publishing it again, once there is room, doubles nothing at the others."""
    broker.declare(Topology((Queue("wide", ("sale",)), Queue("narrow", ("sale",), limit=1))))
    event = Outgoing(order(1), "sale", event=True)
    assert publish(broker, event, event) == [Outcome.CONFIRMED, Outcome.REFUSED]
    assert publish(broker, event) == [Outcome.REFUSED]
    assert numbers(drain(broker, "wide", 1)) == [1]
    assert nothing_in(broker, "wide")


def test_a_transfer_over_the_limit_is_told_beforehand(broker: EmbeddedBroker) -> None:
    """Commit sees the refusal, and what was refused is not written."""
    broker.declare(Topology((Queue("narrow", limit=1),)))
    publish(broker, command(order(1)))
    consumer, seen = broker.consumer(["a"], 1), []
    taken = take(consumer, 1)
    batch = [command(order(2), "narrow"), command(order(3), "narrow")]
    consumer.transfer(batch, lambda outcomes: seen.extend(outcomes) or taken)  # type: ignore[func-returns-value]
    assert seen == [Outcome.CONFIRMED, Outcome.REFUSED]
    assert broker.depths(["narrow"])["narrow"].ready == 1


def test_large_messages_are_taken_a_few_at_a_time(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held stays within a limit of bytes, however many messages were asked for; the rest comes afterwards."""
    monkeypatch.setattr("esb.broker.port.MOST_OCTETS", 2_500_000)
    big = msgspec.structs.replace(order(1), body=bytes(1_000_000))
    publish(broker, *[command(big)] * 4)
    consumer = broker.consumer(["a"], 100)
    first, second = consumer.take(100, 0), consumer.take(100, 0)
    assert (len(first), len(second)) == (3, 0)
    consumer.settle(first)
    assert [len(consumer.take(100, 0)) for _ in range(2)] == [1, 0]


# --- trouble ------------------------------------------------------------------------------------------------------


def trouble(publisher: EmbeddedPublisher, words: str) -> None:
    """Publishing says that the broker is down, and why."""
    with pytest.raises(BrokerDown, match=words):
        publisher.publish([command(msgspec.structs.replace(order(1), body=bytes(200_000)))])


def test_a_full_disk_is_named_and_survived(broker: EmbeddedBroker) -> None:
    """Publishing to a full disk fails in words, stores nothing, and goes on once there is room."""
    publisher = broker.publisher()
    sql = publisher._database.sql
    pages = sql.execute("PRAGMA page_count").fetchone()[0]
    sql.execute(f"PRAGMA max_page_count={pages + 1}")
    trouble(publisher, "the disk is full: free some space")
    sql.execute("PRAGMA max_page_count=1000000")
    assert publisher.publish([command(order(2))]) == [Outcome.CONFIRMED]
    assert numbers(drain(broker, "a", 1)) == [2]
    assert nothing_in(broker, "a")


def test_a_foreign_lock_is_named(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """A shell that holds a transaction open is said to be in the way; afterwards all goes on."""
    publisher = broker.publisher()
    publisher._database.sql.execute("PRAGMA busy_timeout=20")
    shell = sqlite3.connect(tmp_path / "broker.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    trouble(publisher, "another program holds the database locked")
    shell.close()
    assert publisher.publish([command(order(2))]) == [Outcome.CONFIRMED]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes for longer than a moment hangs."""
    monkeypatch.setattr(database, "_PATIENCE", 0.05)


@contextmanager
def somebody_writes(root: Path) -> Iterator[None]:
    """The gate in other hands, for as long as they like."""
    with (root / "broker.gate").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.timeout(60)
def test_a_writer_that_hangs_is_named_and_survived(impatient: None, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """A process stopped within its transaction holds up nobody for ever; reading goes on, and then all does."""
    publisher = broker.publisher()
    with somebody_writes(tmp_path):
        trouble(publisher, r"cannot publish a batch in .*broker\.db: somebody else has been writing for 0\.05 s")
        assert broker.depths(["a"])["a"].ready == 0
    assert publisher.publish([command(order(2))]) == [Outcome.CONFIRMED]
    assert numbers(drain(broker, "a", 1)) == [2]


@pytest.mark.timeout(60)
def test_what_is_closed_while_a_writer_hangs_comes_back(
    impatient: None, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Closing does not fail: what the consumer held is found without an owner, once there is a turn to write."""
    publish(broker, *(command(order(n)) for n in range(3)))
    other = EmbeddedBroker(tmp_path)
    consumers = [other.consumer(["a"], 1) for _ in range(2)]
    for consumer in consumers:
        take(consumer, 1)
    with somebody_writes(tmp_path):
        other.close()
        with pytest.raises(BrokerDown, match="look for one that hangs"):
            broker.consumer(["a"], 1)
    found = drain(broker, "a", 3)
    assert sorted(numbers(found)) == [0, 1, 2]
    assert sum(delivery.redelivered for delivery in found) == 2


@pytest.mark.timeout(60)
def test_trying_again_while_a_writer_hangs_leaves_nothing_open(
    impatient: None, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Workers do so for as long as it takes, and the number of files is limited."""
    opened = []
    with somebody_writes(tmp_path):
        for _ in range(3):
            for attempt in (lambda: EmbeddedBroker(tmp_path), broker.publisher):
                with pytest.raises(BrokerDown, match="cannot open the embedded broker"):
                    attempt()
            opened.append(len(os.listdir("/proc/self/fd")))
    assert len(set(opened)) == 1


class Followed:
    """A gate that somebody else takes, and keeps, as soon as it is let go."""

    def __init__(self, gate: Gate, other: IO[str]) -> None:
        self._gate, self._other = gate, other

    def __enter__(self) -> None:
        self._gate.__enter__()

    def __exit__(self, *_: object) -> None:
        self._gate.__exit__()
        fcntl.flock(self._other, fcntl.LOCK_EX)

    def close(self) -> None:
        self._gate.close()


@pytest.mark.timeout(60)
def test_a_commit_that_makes_the_log_long_needs_no_second_turn(
    impatient: None, broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who hangs right behind it does not make what is committed look as if it had failed."""
    publisher, message = broker.publisher(), order(1)
    publisher._database._log = WriteAheadLog(publisher._database.path, limit=1)
    with (tmp_path / "broker.gate").open("a") as other:
        monkeypatch.setattr(publisher._database, "_gate", Followed(publisher._database._gate, other))
        assert publisher.publish([command(message)]) == [Outcome.CONFIRMED]
    assert message.id.encode() in (tmp_path / "broker.db").read_bytes()
    assert numbers(drain(broker, "a", 1)) == [1]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Opening something else says which file it is and what to do."""
    (tmp_path / "broker.db").write_bytes(b"certainly no database" * 1000)
    with pytest.raises(BrokerDown, match=r"broker\.db: the file is no database: stop the bus"):
        EmbeddedBroker(tmp_path)


def test_a_newer_format_is_refused(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """A file that a later release made is left alone."""
    broker._database.sql.execute("PRAGMA user_version=99")
    with pytest.raises(BrokerDown, match="format 99, this release reads"):
        EmbeddedBroker(tmp_path)


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    """A file where the directory should be is an error in words."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(BrokerDown, match="cannot make the data directory"):
        EmbeddedBroker(tmp_path / "data")


def test_the_log_stays_small(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """However much flows through, the write-ahead log is written back; a reader in the way only delays that."""
    publisher, consumer = broker.publisher(), broker.consumer(["a"], 1000)
    reader = sqlite3.connect(tmp_path / "broker.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM msg").fetchone()
    publisher._database.sql.execute("PRAGMA busy_timeout=20")
    consumer._database.sql.execute("PRAGMA busy_timeout=20")
    wal = tmp_path / "broker.db-wal"
    batch = [command(msgspec.structs.replace(order(n), body=bytes(100_000))) for n in range(50)]
    for turn in range(24):
        publisher.publish(batch)
        consumer.settle(take(consumer, 50))
        if turn == 5:
            assert wal.stat().st_size > 20 * 1024**2
            reader.close()
    assert wal.stat().st_size < 3 * LIMIT < 24 * sum(len(each.message.body) for each in batch)
    assert (tmp_path / "broker.db").stat().st_size < 64 * 1024**2


def test_a_closed_broker_says_so(broker: EmbeddedBroker) -> None:
    """Using what was closed is an error of ours, not of the driver."""
    consumer, publisher = broker.consumer(["a"], 1), broker.publisher()
    broker.close()
    publisher.close()
    with pytest.raises(BrokerError, match="closed"):
        consumer.take(1, 0)
    with pytest.raises(BrokerError, match="closed"):
        publisher.publish([command(order(1))])
    with pytest.raises(BrokerError, match="closed"):
        broker.consumer(["a"], 1)
    with pytest.raises(BrokerError, match="closed"):
        broker.check()


def test_a_consumer_of_a_queue_that_is_not_there_is_refused(broker: EmbeddedBroker) -> None:
    """It names the queue."""
    with pytest.raises(BrokerError, match="there is no queue nowhere"):
        broker.consumer(["nowhere"], 1)


def test_the_url_picks_the_broker(tmp_path: Path) -> None:
    """An unknown scheme is refused with the known ones; options reach the embedded broker."""
    broker = open_broker("embedded", tmp_path, synchronous="FULL")
    assert isinstance(broker, EmbeddedBroker)
    assert broker._database.sql.execute("PRAGMA synchronous").fetchone() == (2,)
    broker.close()
    with pytest.raises(BrokerError, match="'kafka': say embedded, amqp"):
        open_broker("kafka://host", tmp_path)


def test_an_owner_that_was_dropped_shows_no_sign_of_life(tmp_path: Path, broker: EmbeddedBroker) -> None:
    """The watch, on its own thread, may still have it in hand: no error, which would make it rest."""
    broker.declare(Topology((Queue("a"),)))
    consumer = broker.consumer(["a"], 1)
    owner = consumer._owner
    consumer.close()
    owner.beat()


def test_files_are_for_their_owner_only(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Messages may hold personal data: nobody else on the machine reads them."""
    broker.consumer(["a"], 1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"broker.db", "broker.gate"}
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in files)
