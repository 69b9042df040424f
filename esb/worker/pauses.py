"""Endpoints that a person has stopped, as one worker sees them: the store is asked at most once a second."""

from __future__ import annotations

from collections.abc import Callable, Collection

from esb.errors import StoreDown
from esb.store import Store

READ_EVERY = 1.0  # seconds


class Pauses:
    """Which endpoints are paused. While the store is down, what it said last holds. Used by one thread."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._names: Collection[str] = ()
        self._read_at = 0.0

    def hold(self, endpoint: str) -> bool:
        """Whether this one is to rest."""
        now = self._clock()
        if not 0 <= now - self._read_at < READ_EVERY:
            self._read_at = now
            self._refresh()
        return endpoint in self._names

    def _refresh(self) -> None:
        try:
            with self._store.reading() as t:
                self._names = t.pauses.all()
        except StoreDown:
            pass
