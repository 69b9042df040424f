"""The life of a worker: cycles until it is told to stop, and outlives its broker and its store."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import structlog

from esb.errors import EsbError, StoreDown
from esb.store import Store, Transaction

log = structlog.get_logger("esb.worker")

SHORTEST_PAUSE = 0.1  # seconds, doubled up to
LONGEST_PAUSE = 5.0
PATIENCE = 600.0  # seconds to keep trying a commit: less than the broker's consumer time-out of 30 minutes


class Pause:
    """Growing pauses while something is down; back to the shortest when it works again."""

    def __init__(self) -> None:
        self._next = SHORTEST_PAUSE

    def reset(self) -> None:
        self._next = SHORTEST_PAUSE

    def wait(self, stop: threading.Event) -> None:
        stop.wait(self._next)
        self._next = min(self._next * 2, LONGEST_PAUSE)


class Threaded(ABC):
    """What lives in a thread. It has one and is none: the private names of Python's own change with its version."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, in the thread."""
        self._thread.start()

    @abstractmethod
    def run(self) -> None:
        """All of its life, in the thread that calls it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, for so many seconds at most."""
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread.is_alive()


class Worker(Threaded):
    """Repeats :meth:`cycle` in its thread.

    What is down (broker, store) ends the cycle, never the worker: it pauses and tries again, so recovery needs no
    restart. An unexpected error is logged with its trace and treated alike, since a dead thread would be silent loss
    of service.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.stopping = threading.Event()

    @abstractmethod
    def cycle(self) -> None:
        """One round of work. Must return within about a second when there is nothing to do."""

    def recover(self) -> None:
        """After a failed cycle: let go of what may be half done."""

    def finish(self) -> None:
        """Once, at the end: complete or give back what is under way."""

    def interrupt(self) -> None:
        """Make a waiting cycle return (called from another thread, after ``stopping`` was set)."""

    def stop(self) -> None:
        """Ask the worker to end after the round it is in."""
        self.stopping.set()
        self.interrupt()

    def run(self) -> None:
        pause = Pause()
        while not self.stopping.is_set():
            try:
                self.cycle()
                pause.reset()
            except BaseException as error:  # the expression engine's panics and a stray sys.exit among them
                self._explain(error)
                self._quietly(self.recover)
                pause.wait(self.stopping)
        self._quietly(self.finish)

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, EsbError):
            log.warning("interrupted", worker=self.name, kind=error.kind, error=str(error))
        else:
            log.error("unexpected error", worker=self.name, exc_info=error)

    def _quietly(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except Exception as error:
            self._explain(error)


def commit(
    store: Store, write: Callable[[Transaction], Any], stopping: threading.Event, patience: float = PATIENCE
) -> None:
    """Run ``write`` in a transaction; while the store is down keep trying, with back-off.

    Raises ``StoreDown`` when ``patience`` (seconds) is used up or the worker is told to stop, ``RowRefused`` at once.
    """
    deadline = time.monotonic() + patience
    pause = Pause()
    while True:
        try:
            with store.transaction() as transaction:
                write(transaction)
            return
        except StoreDown as error:
            if stopping.is_set() or time.monotonic() > deadline:
                raise
            log.warning("commit put off", kind=error.kind, error=str(error))
            pause.wait(stopping)
