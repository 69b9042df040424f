"""Owners of leases: a locked file each, so that the kernel says who is dead the moment it is.

A lock of ``flock`` belongs to the open file: it goes with the process, however that ends, and a zombie holds none.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from pathlib import Path

from esb.broker.embedded import tables
from esb.broker.embedded.database import Database


class Owner:
    """One consumer's claim to be alive. Make and close it while holding the write transaction."""

    def __init__(self, sql: sqlite3.Connection, directory: Path, name: str) -> None:
        self.id = tables.add_owner(sql, name)
        self._path = directory / str(self.id)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(self._file, f"{os.getpid()} {name}\n".encode())
        self._guard = threading.Lock()

    def beat(self) -> None:
        """Show that the process is not only there but running: the file's time moves. From any thread."""
        with self._guard:
            if self._file >= 0:  # else it was dropped this moment
                os.utime(self._file)

    def retire(self, sql: sqlite3.Connection) -> list[int]:
        """Put back what is still held and leave no trace; the queues that got something."""
        return _bury(sql, self._path, self.id)

    def drop(self) -> None:
        """Close the file: the lock goes, unless a forked child or parent still has it open."""
        with self._guard:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


class Reaper:
    """Takes back what dead owners held, and what stuck ones hold.

    Args:
        stuck_after: seconds without a sign of life after which an owner that lives counts as stuck (stopped by
            SIGSTOP, or in a suspended container). Counted on this process's own clock, so that neither a changed
            wall clock nor a suspended machine makes anybody look stuck.
    """

    def __init__(self, database: Database, directory: Path, stuck_after: float) -> None:
        self._database = database
        self._directory = directory
        self._stuck_after = stuck_after
        self._seen: dict[int, tuple[int, float]] = {}

    def reap(self) -> set[int]:
        """Look at all owners once; the queues that got messages back."""
        with self._database.reading("look for dead owners") as sql:
            owners = tables.owners(sql)
        self._seen = {owner: seen for owner, seen in self._seen.items() if owner in set(owners)}
        dead = [owner for owner in owners if _is_dead(self._directory / str(owner))]
        stuck = [owner for owner in owners if owner not in dead and self._is_stuck(owner)]
        return self._take_back(dead, stuck) if dead or stuck else set()

    def _take_back(self, dead: list[int], stuck: list[int]) -> set[int]:
        queues: set[int] = set()
        with self._database.transaction("take back what a dead process held") as sql:
            for owner in dead:
                queues.update(_bury(sql, self._directory / str(owner), owner))
            for owner in stuck:
                # It keeps its row: when it runs again it may take anew, but what it held is no longer its own.
                queues.update(tables.reclaim(sql, owner))
        return queues

    def _is_stuck(self, owner: int) -> bool:
        try:
            beat = (self._directory / str(owner)).stat().st_mtime_ns
        except FileNotFoundError:
            return False  # closed this moment
        now = time.monotonic()
        if owner not in self._seen or self._seen[owner][0] != beat:
            self._seen[owner] = (beat, now)
        return now - self._seen[owner][1] > self._stuck_after


def _bury(sql: sqlite3.Connection, path: Path, owner: int) -> list[int]:
    queues = tables.reclaim(sql, owner)
    tables.remove_owner(sql, owner)
    # Before the commit: a crash in between leaves a row without a file, which counts as dead and is cleaned again.
    path.unlink(missing_ok=True)
    return queues


def _is_dead(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        # Shared, so that two who look at once do not take each other for the owner.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
