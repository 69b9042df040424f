"""One connection to the broker's database: fair write transactions, and a write-ahead log that stays small."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from esb.broker.embedded import tables
from esb.broker.embedded.failures import NoTurnError, translated
from esb.errors import BrokerDown, BrokerError
from esb.write_ahead_log import PRAGMAS, WRITE_BACK, WriteAheadLog

Synchronous = Literal["NORMAL", "FULL"]

_BUSY = 10_000  # ms that SQLite waits for a lock which a foreign program holds
_GLANCE = 1_000  # ms that the log's being written back waits for readers: all who want to write wait with it
_PATIENCE = 10.0  # seconds to wait for other writers
_LOOK = 0.0002  # seconds between two tries
_VACUUM_FROM = 16_384  # free pages (64 MB) that are kept for reuse before the file shrinks
_VACUUM_STEP = 2_000  # pages given back at a time


class Gate:
    """A file lock in front of SQLite's write lock.

    SQLite's own busy handler sleeps for longer and longer, so that under load a writer may starve for a second; this
    one looks five times a millisecond. A blocking ``flock`` would be fairer still, but nothing ends it: a writer that
    was stopped would hold up all others without a word. Each connection opens the file itself, so it also holds between
    the threads of a process.
    """

    def __init__(self, path: Path, patience: float) -> None:
        """Args: the file, made if need be; seconds after which whoever writes counts as hanging."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._patience = patience

    def __enter__(self) -> None:
        """Raises ``NoTurnError`` when others hold it for too long."""
        if self._try():
            return
        deadline = time.monotonic() + self._patience
        while not self._try():
            if time.monotonic() > deadline:
                raise NoTurnError(f"somebody else has been writing for {self._patience:g} s")
            time.sleep(_LOOK)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Database:
    """A connection with its gate. Threads that share it take turns.

    Args:
        path: the database file; its directory exists.
        synchronous: ``NORMAL`` loses nothing when a process is killed, but the last moments before a power cut may be
            gone; ``FULL`` syncs each commit to the disk.
    """

    def __init__(self, path: Path, synchronous: Synchronous = "NORMAL") -> None:
        self.path = path
        self._log = WriteAheadLog(path)
        self._lock = threading.RLock()
        self._closed = False
        with translated("open the embedded broker", path):
            # Made here, since SQLite would let everybody read it; its log takes over the permissions. A file that is
            # there stays unopened: closing it again would drop this process's POSIX locks on it, and the next other
            # process to leave would take itself for the last one and delete the log under us.
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                pass
            self._gate = Gate(path.with_suffix(".gate"), _PATIENCE)
            try:
                self.sql = sqlite3.connect(path, timeout=_BUSY / 1000, isolation_level=None, check_same_thread=False)
                self._begin(synchronous)
            except BaseException:
                self._gate.close()  # whoever waits for the broker tries again and again, each time with a new file
                raise

    @contextmanager
    def transaction(self, attempt: str) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end, rolled back when anything is raised.

        Args:
            attempt: what it is for, to be named by an error.
        """
        with self._open(attempt), self._gate:
            self.sql.execute("BEGIN IMMEDIATE")
            try:
                yield self.sql
                self.sql.execute("COMMIT")
            finally:
                if self.sql.in_transaction:
                    self.sql.execute("ROLLBACK")
            # In the gate of the commit: one that had to be waited for could fail, and the commit would seem to have.
            self._log.tend(self._write_back)

    @contextmanager
    def reading(self, attempt: str) -> Iterator[sqlite3.Connection]:
        """Single queries, each a snapshot of its own: an open read transaction would make the log grow for ever."""
        with self._open(attempt):
            yield self.sql

    def close(self) -> None:
        """Close the connection; whatever was not committed is gone."""
        with self._lock:
            self._closed = True
            self.sql.close()
            self._gate.close()

    def _begin(self, synchronous: Synchronous) -> None:
        try:
            with self._gate:
                _prepare(self.sql, synchronous)
        except BaseException:
            self.sql.close()
            raise

    @contextmanager
    def _open(self, attempt: str) -> Iterator[None]:
        with self._lock, translated(attempt, self.path):
            if self._closed:
                raise BrokerError(f"cannot {attempt} in {self.path}: this connection is closed, open another")
            yield

    def _write_back(self) -> bool:
        try:
            self.sql.execute(f"PRAGMA busy_timeout={_GLANCE}")
            busy = self.sql.execute(WRITE_BACK).fetchone()[0]
            self._shrink()
        except sqlite3.Error as error:
            # The transaction before it is committed and must not look as if it had failed.
            logging.getLogger(__name__).warning("%s: the write-ahead log stays long for now: %s", self.path, error)
            return False
        finally:
            self.sql.execute(f"PRAGMA busy_timeout={_BUSY}")
        return not busy

    def _shrink(self) -> None:
        if self.sql.execute("PRAGMA freelist_count").fetchone()[0] > _VACUUM_FROM:
            self.sql.executescript(f"PRAGMA incremental_vacuum({_VACUUM_STEP})")


def _prepare(sql: sqlite3.Connection, synchronous: Synchronous) -> None:
    sql.execute("PRAGMA page_size=8192")  # of a new file: bodies fill smaller ones badly
    sql.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in PRAGMAS:
        sql.execute(pragma)
    if sql.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raise BrokerDown("the file system does not carry SQLite's WAL mode: put the data directory on a local disk")
    sql.execute(f"PRAGMA synchronous={synchronous}")
    sql.execute("PRAGMA cache_size=-8000")
    tables.create(sql)
