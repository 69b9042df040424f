"""One writer at a time on SQLite, and one checkpointer.

SQLite's own waiting (the busy handler) starves a writer for a second and more while others keep writing; a file
lock that is looked at five times a millisecond does not. The lock is an ``flock``, so the kernel drops it when its
holder dies. The same lock keeps writers out while the write-ahead log is written back (see
:mod:`esb.write_ahead_log`).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from esb.errors import StoreDown
from esb.write_ahead_log import WriteAheadLog

_LOOK = 0.0002  # seconds between two tries: a commit takes a few milliseconds, and others wait behind


class Gate:
    """Lets one transaction of one process write; see the module.

    Args:
        file: the database's file.
        timeout: seconds to wait for other writers.
        write_back: of the write-ahead log; called within the gate once that has grown; says whether it succeeded.
    """

    def __init__(self, file: Path, timeout: float, write_back: Callable[[], bool]) -> None:
        self._lock_file = file.with_name(file.name + "-gate")
        self._log = WriteAheadLog(file)
        self._timeout = timeout
        self._write_back = write_back
        self._threads = threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the gate. Raises ``StoreDown`` (transient) when others hold it too long."""
        deadline = time.monotonic() + self._timeout
        if not self._threads.acquire(timeout=self._timeout):
            raise self._locked("another thread")
        try:
            with self._process(deadline):
                yield
                self._log.tend(self._write_back)
        finally:
            self._threads.release()

    @contextmanager
    def _process(self, deadline: float) -> Iterator[None]:
        # Opened each time: a descriptor kept open would be shared, and its lock with it, by a forked child.
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreDown(
                f"{self._lock_file} cannot be opened ({error.strerror}): check the data directory"
            ) from error
        try:
            while not _try(descriptor):
                if time.monotonic() > deadline:
                    raise self._locked("another process")
                time.sleep(_LOOK)
            yield
        finally:
            os.close(descriptor)

    def _locked(self, who: str) -> StoreDown:
        failure = StoreDown(f"{who} has been writing to the store for {self._timeout:g} s: look for one that hangs")
        failure.transient = True
        return failure


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
