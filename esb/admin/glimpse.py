"""The last answer of what may be slow or away, so that no page waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from esb.errors import EsbError

Found = TypeVar("Found")


class Glimpse(Generic[Found]):
    """Asks at most every ``keep`` seconds, on a thread of its own; whoever looks waits at most ``patience`` seconds."""

    def __init__(
        self, ask: Callable[[], Found], clock: Callable[[], float], keep: float = 2.0, patience: float = 0.1
    ) -> None:
        self._ask, self._clock, self._keep, self._patience = ask, clock, keep, patience
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._asking = False
        self._asked = 0.0
        self.value: Found | None = None
        self.error = "no answer yet"

    def look(self) -> Found | None:
        """What it said last; None where it is away, and then ``error`` says why."""
        with self._lock:
            due = not self._asking and self._clock() - self._asked >= self._keep
            if due:
                self._asking = True
                self._answered.clear()
                threading.Thread(target=self._refresh, name="glimpse", daemon=True).start()
        self._answered.wait(self._patience)
        return self.value

    def _refresh(self) -> None:
        try:
            value, error = self._ask(), ""
        except EsbError as failure:
            value, error = None, str(failure)
        with self._lock:
            self.value, self.error = value, error
            self._asked, self._asking = self._clock(), False
        self._answered.set()
