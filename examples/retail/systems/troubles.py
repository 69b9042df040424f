"""How the stand-ins fail: an outage that comes once, and hiccups that come again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Outage:
    """A failure that comes once: the booking that triggers it is made, but its answer never leaves the house.

    Args:
        after: bookings before it begins; 0 means never.
        seconds: how long it lasts.
        clock: seconds that only go forward.
    """

    def __init__(self, after: int = 0, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = after
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self._lock = threading.Lock()

    def booked(self) -> bool:
        """Count a booking; True when the outage begins with it."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._until = self._clock() + self._seconds
            return self._left == 0

    def remaining(self) -> float:
        """Seconds until the service is back; 0 while it works."""
        return max(0.0, self._until - self._clock())


class Hiccup:
    """True at each ``every``-th call; 0: never."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._calls = 0
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        with self._lock:
            self._calls += 1
            return self._every > 0 and self._calls % self._every == 0
