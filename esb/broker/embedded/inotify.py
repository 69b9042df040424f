"""Which of some files were written to or closed: Linux's inotify, or a look at the database now and then.

Hand-written over libc because it is three calls; the packages for it carry an event loop or watch whole trees.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from pathlib import Path
from typing import Protocol

from esb.broker.embedded.database import Database

_MODIFY, _CLOSE_WRITE = 0x2, 0x8
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name behind it
_POLL = 0.005  # seconds between two looks where there is no inotify


class Source(Protocol):
    """Tells of changes made by other processes. ``add`` and ``interrupt`` may be called from any thread."""

    def add(self, path: Path) -> int:
        """Watch a file (for writes) or a directory (for files closed in it); the key that ``wait`` gives."""
        ...

    def wait(self, timeout: float) -> set[int] | None:
        """Keys of what changed, empty after ``timeout`` seconds; None: something did, nobody knows what."""
        ...

    def interrupt(self) -> None:
        """Make ``wait`` return."""
        ...

    def close(self) -> None: ...


def source(database: Database) -> Source:
    """The best source there is: inotify, else (another system, no instance left) a poll of the database."""
    try:
        return Inotify()
    except OSError:
        return Polling(database)


class Inotify:
    """The kernel tells, within a fraction of a millisecond."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError("no inotify on this system")
        self._file = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._bell, self._rope = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._poll.register(self._bell, select.POLLIN)

    def add(self, path: Path) -> int:
        mask = _CLOSE_WRITE if path.is_dir() else _MODIFY
        return self._checked(self._libc.inotify_add_watch(self._file, os.fsencode(path), mask))

    def wait(self, timeout: float) -> set[int]:
        ready = {file for file, _ in self._poll.poll(timeout * 1000)}
        if self._bell in ready:
            os.read(self._bell, 4096)
        return self._read() if self._file in ready else set()

    def interrupt(self) -> None:
        os.write(self._rope, b"!")

    def close(self) -> None:
        for file in (self._file, self._bell, self._rope):
            os.close(file)

    def _read(self) -> set[int]:
        data = os.read(self._file, 65536)
        found: set[int] = set()
        offset = 0
        while offset < len(data):
            key, _, _, length = _EVENT.unpack_from(data, offset)
            found.add(key)
            offset += _EVENT.size + length
        return found

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


class Polling:
    """A look at the database's change counter every 5 ms, which costs a little of a processor all the time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version = self._look()
        self._bell, self._rope = os.pipe()

    def add(self, path: Path) -> int:
        return 0

    def wait(self, timeout: float) -> set[int] | None:
        looks = max(1, round(timeout / _POLL))
        for _ in range(looks):
            if select.select([self._bell], [], [], _POLL)[0]:
                os.read(self._bell, 4096)
                break
            if self._look() != self._version:
                self._version = self._look()
                return None
        return set()

    def interrupt(self) -> None:
        os.write(self._rope, b"!")

    def close(self) -> None:
        os.close(self._bell)
        os.close(self._rope)

    def _look(self) -> int:
        with self._database.reading("look for changes") as sql:
            return sql.execute("PRAGMA data_version").fetchone()[0]
