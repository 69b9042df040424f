"""What only the embedded store has: one file, one writer, a log that is emptied, a disk that fills up."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from esb.errors import StoreDown, StoreError
from esb.store import Store, engine, gate, open_store
from esb.store.seal import KEY_FILE, Seal, make_key
from esb.testing._store.given import hop
from esb.write_ahead_log import WriteAheadLog


def _file(store: Store) -> Path:
    return Path(store.name)


def _write(store: Store, *ids: str, **fields: bytes) -> None:
    with store.transaction() as t:
        t.tracking.record([hop(id, **fields) for id in ids])


def _count(store: Store) -> int:
    with store.reading() as t:
        return len(t.tracking.find(limit=100_000))


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """The gate in the hands of another process."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_the_settings_that_safety_rests_on(sqlite_store: Store) -> None:
    """Write-ahead log; no fsync at each commit; nobody but the gate's holder empties the log."""
    with sqlite_store.reading() as t:
        values = {
            name: t.connection.row(f"PRAGMA {name}")[0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint")
        }
    assert values == {"journal_mode": "wal", "synchronous": 1, "wal_autocheckpoint": 0}


def test_the_data_directory_is_made(tmp_path: Path) -> None:
    """With what lies above it."""
    store = open_store("embedded", tmp_path / "a" / "b")
    store.migrate()
    assert (tmp_path / "a" / "b" / "store.db").exists()
    store.close()


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """StoreDown, naming the directory and where it is configured."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreDown, match=r"data cannot be made \(.*\): check `data:` in esb.yaml"):
        open_store("embedded", tmp_path / "data")


def test_a_full_disk_says_so_and_passes(sqlite_store: Store) -> None:
    """StoreDown with what to do; nothing half written; once there is room the same store works."""
    _write(sqlite_store, "before")
    limit = {"pages": 0}

    @sa.event.listens_for(sqlite_store.engine, "checkout")
    def _limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit['pages'] or 2**30}")

    limit["pages"] = 1  # SQLite makes it the size of the file as it is
    with pytest.raises(StoreDown, match="the disk is full: free space; the bus goes on by itself") as caught:
        _write(sqlite_store, *(f"m{n}" for n in range(200)), body=bytes(10_000))
    assert not caught.value.transient
    limit["pages"] = 0
    _write(sqlite_store, "after")
    assert _count(sqlite_store) == 2


def test_a_writer_that_hangs_is_reported(sqlite_store: Store) -> None:
    """StoreDown, transient, instead of waiting for ever; reading goes on meanwhile."""
    store = sqlite_store
    store._gate = gate.Gate(_file(store), 0.05, lambda: True)
    with _held(_file(store).with_name("store.db-gate")):
        with pytest.raises(StoreDown, match=r"another process has been writing to the store for 0\.05 s") as caught:
            _write(store, "m1")
        assert caught.value.transient
        assert _count(store) == 0
    _write(store, "m1")


def test_a_foreign_program_that_locks_the_file_is_reported(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's sqlite3 shell knows nothing of the gate: StoreDown, transient."""
    monkeypatch.setattr(engine, "TIMEOUT", 0.05)
    store = open_store("embedded", _file(sqlite_store).parent)
    foreign = sqlite3.connect(store.name, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreDown, match="another process keeps it locked") as caught:
        _write(store, "m1")
    assert caught.value.transient
    foreign.execute("ROLLBACK")
    foreign.close()
    _write(store, "m1")
    store.close()


def test_the_log_is_written_back_when_it_has_grown(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would grow without bound, as SQLite's own way of doing so is off."""
    monkeypatch.setattr(gate, "WriteAheadLog", partial(WriteAheadLog, limit=200_000))
    store = open_store("embedded", _file(sqlite_store).parent)
    for number in range(30):
        _write(store, f"m{number}", body=bytes(50_000))
        assert os.stat(f"{store.name}-wal").st_size < 400_000
    assert _count(store) == 30
    store.close()


def test_a_long_reader_does_not_stop_the_writers(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log grows while it reads, and no more after."""
    monkeypatch.setattr(gate, "WriteAheadLog", partial(WriteAheadLog, limit=100_000))
    store = open_store("embedded", _file(sqlite_store).parent)
    with store.reading() as t:
        t.tracking.find()
        for number in range(5):
            _write(store, f"m{number}", body=bytes(50_000))
        assert t.tracking.find() == []
    grown = os.stat(f"{store.name}-wal").st_size
    for number in range(5, 25):
        _write(store, f"m{number}", body=bytes(50_000))
    assert 250_000 < os.stat(f"{store.name}-wal").st_size < grown + 200_000  # 20 commits are far more than that
    store.close()


def test_a_damaged_file_is_no_outage(tmp_path: Path) -> None:
    """StoreError, naming what to do: trying again would not help."""
    (tmp_path / "store.db").write_bytes(b"this is no database" * 1000)
    store = open_store("embedded", tmp_path)
    with pytest.raises(StoreError, match=r"is damaged .*: stop the bus and restore a copy") as caught:
        _write(store, "m1")
    assert not isinstance(caught.value, StoreDown)


def test_connections_that_are_all_in_use(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """StoreDown that says why, after waiting."""
    monkeypatch.setattr(sqlite_store.engine.pool, "_timeout", 0.05)
    with ExitStack() as transactions:
        for _ in range(25):
            transactions.enter_context(sqlite_store.reading())
        with pytest.raises(StoreDown, match=r"all connections to the store .* are in use"):
            _count(sqlite_store)


_WRITER = """
import sys
from esb.store import open_store
from esb.testing._store.given import hop
store = open_store("embedded", sys.argv[1])
for batch in range(1_000_000):
    with store.transaction() as t:
        t.tracking.record([hop(f"{batch:07}-{n}") for n in range(10)])
    print(batch, flush=True)
"""


def test_kill_9_loses_no_commit_and_leaves_no_half(sqlite_store: Store) -> None:
    """A writer is killed again and again; every commit it told of is there, whole; the gate is free at once."""
    for _ in range(3):
        with sqlite_store.transaction() as t:
            t.connection.run("DELETE FROM hops")
        command = [sys.executable, "-c", _WRITER, str(_file(sqlite_store).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline() for _ in range(20)]
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.readlines()
        complete = [line for line in told if line.endswith("\n")]
        stored = _count(sqlite_store)
        assert stored % 10 == 0
        assert stored >= 10 * len(complete)
        _write(sqlite_store, "next")


def test_where_something_is_to_be_sealed_the_first_start_makes_a_key(tmp_path: Path) -> None:
    """For its owner alone; whoever opens the store later reads what it closed, whether there is more to seal or not."""
    store = open_store("embedded", tmp_path / "data", seals=True)
    closed = store.seal.close(b"4111")
    assert b"4111" not in closed
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    for again in (open_store("embedded", tmp_path / "data"), open_store("embedded", tmp_path / "data", ["mine"])):
        assert again.seal.open(closed) == b"4111"
        again.close()
    store.close()


def test_a_new_database_is_its_owners_alone_and_an_old_one_keeps_its_mode(tmp_path):
    """Also where the directory was there before, and everybody may look into it."""
    (tmp_path / "data").mkdir(mode=0o755)
    store = open_store("embedded", tmp_path / "data")
    assert not (tmp_path / "data" / "store.db").exists()  # whoever looks does not make it
    store.migrate()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert modes == dict.fromkeys(["store.db", "store.db-gate", "store.db-shm", "store.db-wal"], 0o600)
    store.close()
    (tmp_path / "data" / "store.db").chmod(0o640)
    store = open_store("embedded", tmp_path / "data")
    store.require_current()
    assert (tmp_path / "data" / "store.db").stat().st_mode & 0o777 == 0o640
    store.close()


def test_a_key_of_ones_own_goes_before_the_made_one(tmp_path: Path) -> None:
    """And where there is one, none is made."""
    open_store("embedded", tmp_path, ["mine"], seals=True).close()
    assert not (tmp_path / KEY_FILE).exists()
    made = open_store("embedded", tmp_path, seals=True).seal
    both = open_store("embedded", tmp_path, ["mine"]).seal
    assert both.open(made.close(b"old")) == b"old"
    assert Seal(["mine"]).open(both.close(b"new")) == b"new"


def test_of_many_who_start_at_once_one_makes_the_key(tmp_path: Path) -> None:
    """All have the same, and nothing half-written is left beside it."""
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: tuple(make_key(tmp_path)), range(16)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_lost_key_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The row is not lost as long as the key can be put back."""
    closed = open_store("embedded", tmp_path, seals=True).seal.close(b"4111")
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(StoreError, match=r"store\.key"):
        open_store("embedded", tmp_path).seal.open(closed)
    with pytest.raises(StoreError, match="not configured"):
        open_store("embedded", tmp_path, seals=True).seal.open(closed)
