"""Waiting without looking again and again: a wake-up from another thread or a signal, and the word to stop."""

from __future__ import annotations

import math
import os
import select
import signal
import time
import weakref
from collections.abc import Iterable

# The system may give a signal to any thread, but only the main one runs its handler, and does so when it wakes.
LONGEST = 1.0  # seconds


class Wake:
    """Ends somebody's wait. Sticky: a wake before the wait ends the next one. Linux only, like the rest of the bus."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def fileno(self) -> int:
        """For ``poll``: readable once it was set."""
        return self._descriptor

    def set(self) -> None:
        """Safe from any thread and from a signal's handler."""
        os.eventfd_write(self._descriptor, 1)

    def clear(self) -> bool:
        """Whether it was set since the last time."""
        try:
            return bool(os.eventfd_read(self._descriptor))
        except BlockingIOError:
            return False

    def wait(self, seconds: float | None, others: Iterable[int] = ()) -> None:
        """Until it is set, one of the other descriptors can be read, or the time is over (None: there is no end)."""
        waiting = select.poll()
        for descriptor in (self._descriptor, *others):
            waiting.register(descriptor, select.POLLIN)
        waiting.poll(None if seconds is None else max(seconds, 0.0) * 1000)


class Stop:
    """Whether this process was told to end: ``stop()``."""

    def __init__(self, *signals: signal.Signals) -> None:
        """Args: signals that say so. With any, make it on the main thread."""
        self._told = False
        self._wake = Wake()
        for number in signals:
            signal.signal(number, lambda *_: self.set())

    def __call__(self) -> bool:
        return self._told

    def fileno(self) -> int:
        """For ``poll``: readable once it was told."""
        return self._wake.fileno()

    def set(self) -> None:
        """Tell it. Safe from any thread and from a signal's handler."""
        self._told = True
        self._wake.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Until it is told or the time is over; whether it was told."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while not self._told and (rest := deadline - time.monotonic()) > 0:
            self._wake.wait(min(rest, LONGEST))
        return self._told
