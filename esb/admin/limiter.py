"""Slows down whoever guesses passwords."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MOST_KEYS = 10_000  # beyond that the oldest are forgotten, so that guessing fills no memory


class Limiter:
    """At most ``most`` failures a ``window`` (seconds) for each key. Of this process only, and gone when it ends."""

    def __init__(self, clock: Callable[[], float], most: int, window: float) -> None:
        self._clock = clock
        self._most = most
        self._window = window
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Seconds until the next try is listened to; 0: now."""
        with self._lock:
            failures = self._recent(key)
            return failures[0] + self._window - self._clock() if len(failures) >= self._most else 0.0

    def failed(self, key: str) -> None:
        """Count one."""
        with self._lock:
            self._failures[key] = self._recent(key)
            self._failures[key].append(self._clock())
            while len(self._failures) > MOST_KEYS:
                del self._failures[next(iter(self._failures))]

    def _recent(self, key: str) -> deque[float]:
        failures = self._failures.pop(key, None) or deque(maxlen=self._most)
        while failures and failures[0] <= self._clock() - self._window:
            failures.popleft()
        if failures:
            self._failures[key] = failures
        return failures
