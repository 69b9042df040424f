"""The last answer of what may be slow or away, so that no page waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from esb.errors import EsbError

Found = TypeVar("Found")


class Glimpse(Generic[Found]):
    """Asks at most every ``keep`` seconds, on a thread of its own.

    Whoever looks gets the answer before at once; only one that is ``old`` (seconds), or none at all, is worth a wait
    of ``patience`` seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Found],
        clock: Callable[[], float],
        keep: float = 2.0,
        old: float = 15.0,
        patience: float = 1.0,
    ) -> None:
        self._ask, self._clock = ask, clock
        self._keep, self._old, self._patience = keep, old, patience
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._asking = False
        self._at = 0.0
        self._seen: tuple[Found | None, str] = (None, "")

    def look(self) -> tuple[Found | None, str]:
        """What it said last, and why it said nothing; neither while it was never heard of."""
        age = self._clock() - self._at
        with self._lock:
            if not self._asking and age >= self._keep:
                self._asking = True
                self._answered.clear()
                threading.Thread(target=self._refresh, name="glimpse", daemon=True).start()
        if age >= self._old:
            self._answered.wait(self._patience)
        return self._seen

    def _refresh(self) -> None:
        try:
            seen: tuple[Found | None, str] = (self._ask(), "")
        except EsbError as failure:
            seen = (None, str(failure))
        finally:
            self._asking = False
        self._seen, self._at = seen, self._clock()
        self._answered.set()
