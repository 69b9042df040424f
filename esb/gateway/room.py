"""How much of requests' bodies a role holds at once: limits for each request alone add up to more than its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST = 128 * 1024**2  # bytes, over all requests of a role


class Room:
    """Shared by the applications of one event loop."""

    def __init__(self, largest: int, most: int = MOST) -> None:
        """Args: the bytes of the largest body, for which there is room in any case; the bytes of all together."""
        self._most = max(largest, most)
        self.held = 0

    def fits(self, size: int) -> bool:
        """Whether so many bytes more may be held."""
        return self.held + size <= self._most

    @contextmanager
    def share(self) -> Iterator[Share]:
        """One request's part of it, which ends with the request."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.held


class Share:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held = 0

    def take(self, size: int) -> bool:
        """So many bytes more; False, and nothing taken, where there is no room for them."""
        if not self._room.fits(size):
            return False
        self._room.held += size
        self.held += size
        return True
