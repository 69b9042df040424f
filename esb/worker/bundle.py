"""Small things that a poller takes into the bus together."""

from __future__ import annotations

from collections.abc import Sequence

from esb.ports import Claim
from esb.worker.intake import Admitted

FULL = 8 * 1024**2  # bytes of bodies with which a batch is full, however few its records are


def is_full(size: int) -> bool:
    """Whether messages with so many bytes of bodies are enough for one batch: it lies in memory several times over."""
    return size >= FULL


class Bundle:
    """Small claims that go in together: their records, and how many each has."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.counts: list[int] = []
        self.records: list[Admitted] = []
        self._size = 0

    def has_room(self, records: Sequence[Admitted], most: int) -> bool:
        """Whether these, of one claim, may lie in memory together with what is here."""
        return len(self.records) + len(records) <= most and not is_full(self._size + _size(records))

    def add(self, claim: Claim, records: Sequence[Admitted]) -> None:
        """All records of one claim."""
        self.claims.append(claim)
        self.counts.append(len(records))
        self.records += records
        self._size += _size(records)


def _size(records: Sequence[Admitted]) -> int:
    return sum(len(admitted.message.body) for admitted in records)
