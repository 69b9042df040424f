"""`esb demo`: the ledger comes out, the directory can be used again, and servers are clean or refused."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from processes import Esb, alive

from esb.cli.fresh import definition_of, make_fresh
from esb.errors import EsbError
from esb.examples.retail.demo import lay_out
from esb.message import create
from esb.store import Hop, Status, Store, open_store

Run = Callable[..., Result]
Start = Callable[..., Esb]
SMALL = ("demo", "--once", "--any-port", "--tickets", 60, "--orders", 30)


@pytest.fixture(scope="module")
def crashed_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it lies."""
    return tmp_path_factory.mktemp("crashed") / "demo"


@pytest.fixture(scope="module")
def crashed(crashed_place: Path) -> Iterator[Esb]:
    """A demo that was killed halfway, went on and has ended."""
    with Esb(*SMALL, "--crash", "--dir", crashed_place) as demo:
        demo.process.wait(120)
        yield demo


def test_demo_ends_in_the_same_ledger_when_everything_is_killed(crashed: Esb) -> None:
    """SIGKILL to every process of the bus halfway, and another start: the systems' records are as they would be."""
    assert crashed.process.returncode == 0, crashed.said
    assert "Killing every process of the bus" in crashed.said
    assert "The ledger equals what the systems recorded" in crashed.said


def test_demo_shows_ledger_and_progress(crashed: Esb) -> None:
    """What is parked and why, and on the way how far it is."""
    assert "contract at in:pos" in crashed.said
    assert "refused at out:warehouse" in crashed.said
    assert "messages: " in crashed.said


def test_demo_keeps_no_card_where_people_look(crashed: Esb, crashed_place: Path) -> None:
    """What the contracts mask stands in no journey and in no parked message."""
    with closing(sqlite3.connect(crashed_place / "data" / "store.db")) as db:
        rows = [row for table in ("hops", "parked") for row in db.execute(f"SELECT * FROM {table}")]
    cells = [cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row]
    assert any(b"WO-1001" in cell for cell in cells)
    assert [cell for cell in cells if b"tok-" in cell or b"@shop.example" in cell] == []


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_demo_ends_in_the_same_ledger_on_servers(rabbitmq: Any, postgresql: Any, tmp_path: Path, start: Start) -> None:
    """On RabbitMQ and PostgreSQL, also killed halfway."""
    env = {"ESB_BROKER": rabbitmq.vhost(), "ESB_DATABASE": postgresql.database()}
    demo = start(*SMALL, "--crash", "--dir", tmp_path / "demo", env=env)
    assert demo.process.wait(120) == 0, demo.said
    assert "The ledger equals what the systems recorded" in demo.said


def test_demo_that_differs_says_where_and_goes_on_until_it_is_interrupted(tmp_path: Path, start: Start) -> None:
    """Somebody else writes into finance's table: that is named, and the exit code is 1; Ctrl-C stops the bus too."""
    lay_out(tmp_path / "demo").close()  # a directory that was a demo's before
    demo = start("demo", "--any-port", "--tickets", 20, "--orders", 20, "--dir", tmp_path / "demo")
    demo.wait_for("admin interface: http://127.0.0.1:")
    with closing(sqlite3.connect(tmp_path / "demo" / "systems" / "finance.db")) as db, db:
        db.execute("INSERT INTO bookings VALUES (NULL, 'SO-99', 'till', '2026-03-14', 1, 'EUR')")
    demo.wait_for("Ctrl-C stops everything.")
    assert "finance.book: SO-99 should not be there" in demo.said
    assert "/link/" in demo.said
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in demo.children()}
    [bus] = [pid for pid, command in commands.items() if b"run" in command]
    assert demo.stop(signal.SIGINT) == 1
    assert not alive(bus)


def test_demo_leaves_other_directories_alone(tmp_path: Path, esb: Run) -> None:
    """A directory with anything in it but an earlier demo is refused."""
    (tmp_path / "thesis.txt").write_text("the only copy")
    result = esb("demo", "--once", "--dir", tmp_path)
    assert (result.exit_code, "not from a demo" in result.stderr) == (1, True)


@pytest.fixture
def database(postgresql: Any, tmp_path: Path) -> Iterator[tuple[Any, Store]]:
    """The demo's definition on an empty PostgreSQL database, and its store."""
    url = postgresql.database()
    with lay_out(tmp_path / "demo"):
        definition = definition_of(tmp_path / "demo", {"ESB_DATABASE": url})
        with closing(open_store(url, tmp_path)) as store:
            yield definition, store


def used(store: Store, definition_hash: str, files: dict[str, str]) -> None:
    """Leave something in the store, under a definition."""
    message = create(b"{}", type="x", source="x")
    hop = Hop(message_id=message.id, place="in:x", status=Status.ACCEPTED, correlation_id=message.id, type="x")
    with store.transaction() as t:
        t.definitions.activate(definition_hash, files)
        t.tracking.record([hop])


@pytest.mark.postgresql
def test_earlier_demo_in_the_database_is_cleared(database: Any) -> None:
    """The tables are made, and what a demo left in them is gone at the next one."""
    definition, store = database
    make_fresh(definition)
    used(store, definition.hash, definition.files)
    make_fresh(definition)
    with store.reading() as t:
        assert (t.tracking.ledger().accepted, t.definitions.active()) == (0, None)


@pytest.mark.postgresql
def test_running_demo_in_the_database_is_left_alone(database: Any) -> None:
    """A lease of a poller says that a demo lives there."""
    definition, store = database
    make_fresh(definition)
    used(store, definition.hash, definition.files)
    with store.transaction() as t:
        t.leases.acquire("poll pos", "somebody", 60.0)
    with pytest.raises(EsbError, match="a demo runs on the database"):
        make_fresh(definition)


@pytest.mark.postgresql
def test_other_bus_in_the_database_is_left_alone(database: Any) -> None:
    """What another bus has stored is not ours to clear."""
    definition, store = database
    make_fresh(definition)
    used(store, "other", {"esb.yaml": "bus: payroll\n"})
    with pytest.raises(EsbError, match="holds another bus"):
        make_fresh(definition)
    with store.reading() as t:
        assert len(t.tracking.find()) == 1


@pytest.mark.rabbitmq
def test_messages_of_others_in_the_queues_are_left_alone(rabbitmq: Any, tmp_path: Path) -> None:
    """With nothing in the database that says otherwise, waiting messages may be anybody's."""
    from esb.broker import open_broker
    from esb.broker.port import Outgoing, Queue, Topology

    url = rabbitmq.vhost()
    with closing(open_broker(url, tmp_path)) as broker, lay_out(tmp_path / "demo"):
        definition = definition_of(tmp_path / "demo", {"ESB_BROKER": url})
        make_fresh(definition)
        broker.declare(Topology((Queue("esb.endpoint.archive"),)))
        with closing(broker.publisher()) as publisher:
            publisher.publish([Outgoing(create(b"{}", type="x", source="x"), "esb.endpoint.archive")])
        with pytest.raises(EsbError, match="1 messages wait"):
            make_fresh(definition)
        assert broker.depths(["esb.endpoint.archive"])["esb.endpoint.archive"].ready == 1
