"""Looks at a number again and again while something else runs, so that it is known at any moment afterwards."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from threading import Event, Thread

_LOOK = 0.05  # seconds between two looks


class Meter:
    """Samples of a growing number, such as the CPU time of a process. Use as a context manager."""

    def __init__(self, look: Callable[[], float]) -> None:
        """Args: what tells the number; called on a thread of its own."""
        self._look = look
        self._times: list[float] = []
        self._values: list[float] = []
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meter:
        self._note()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._note()

    def between(self, began: float, ended: float) -> float:
        """How much it grew between two moments of ``time.monotonic``. Ask when the meter has stopped."""
        return self.at(ended) - self.at(began)

    def highest(self) -> float:
        """The largest value seen."""
        return max(self._values)

    def at(self, moment: float) -> float:
        """The number at a moment, between two samples on the line that joins them."""
        index = min(max(bisect_left(self._times, moment), 1), len(self._times) - 1)
        early, late = self._times[index - 1], self._times[index]
        low, high = self._values[index - 1], self._values[index]
        share = min(max((moment - early) / (late - early), 0.0), 1.0) if late > early else 1.0
        return low + (high - low) * share

    def _run(self) -> None:
        while not self._stop.wait(_LOOK):
            self._note()

    def _note(self) -> None:
        self._values.append(self._look())
        self._times.append(time.monotonic())
