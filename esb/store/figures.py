"""Figures for people who look: each query reads an index, or a bounded number of rows, however full the store is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from esb.store.connection import Connection

SAMPLE = 3000  # rows at most behind a latency


class Trouble(msgspec.Struct, frozen=True):
    """A message that was parked, in short. ``at``: epoch seconds."""

    message_id: str
    place: str
    subject: str | None
    type: str
    kind: str
    error: str
    at: float


class Figures:
    """Counts and times over ``hops`` and ``parked``. All times are epoch seconds."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def entered(self, since: float, width: float) -> Mapping[int, int]:
        """How many messages came in, by the number of the interval of ``width`` seconds behind ``since``."""
        rows = self._db.rows(
            f"SELECT {self._interval('received_at')}, count(*) FROM hops "
            "WHERE place >= 'in:' AND place < 'in;' AND received_at >= ? GROUP BY 1",
            (since, width, since),
        )
        return {int(number): count for number, count in rows}

    def failed(self, since: float, width: float) -> Mapping[int, int]:
        """How many messages were parked, as :meth:`entered`; whatever became of them since."""
        rows = self._db.rows(
            f"SELECT {self._interval('parked_at')}, count(*) FROM parked "
            "WHERE status IN ('parked', 'retrying', 'discarded', 'resolved') AND parked_at >= ? GROUP BY 1",
            (since, width, since),
        )
        return {int(number): count for number, count in rows}

    def open(self) -> Mapping[int, int]:
        """How many rows of the journey stand at each status that is not the end."""
        rows = self._db.rows("SELECT status, count(*) FROM hops WHERE status < 30 GROUP BY status")
        return {int(status): count for status, count in rows}

    def latencies(self, since: float) -> Sequence[float]:
        """Seconds from a message's entry to each delivery that came of it, sorted; a sample of the youngest."""
        rows = self._db.rows(
            "SELECT young.ended_at - entry.received_at FROM "
            "(SELECT correlation_id, place, status, ended_at FROM hops WHERE received_at >= ? "
            f"ORDER BY received_at DESC LIMIT {SAMPLE}) AS young "
            "JOIN hops AS entry ON entry.message_id = young.correlation_id "
            "AND entry.place >= 'in:' AND entry.place < 'in;' "
            "WHERE young.place >= 'out:' AND young.place < 'out;' AND young.status = 34 AND young.ended_at IS NOT NULL",
            (since,),
        )
        return sorted(max(row[0], 0.0) for row in rows)

    def trouble(self, limit: int) -> Sequence[Trouble]:
        """What was parked last and still is, the newest first."""
        rows = self._db.rows(
            "SELECT message_id, place, subject, type, kind, shape, parked_at FROM parked WHERE status = 'parked' "
            "ORDER BY parked_at DESC, message_id LIMIT ?",
            (limit,),
        )
        return [Trouble(*row) for row in rows]

    def waiting(self) -> tuple[int, float | None]:
        """How many messages are parked now, and since when the oldest is."""
        row = self._db.row("SELECT count(*), min(parked_at) FROM parked WHERE status = 'parked'")
        return row[0], row[1]

    def _interval(self, column: str) -> str:
        return (
            f"CAST(floor(({column} - ?) / ?) AS BIGINT)"
            if not self._db.embedded
            else f"CAST(({column} - ?) / ? AS INTEGER)"
        )


def percentile(sorted_values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` (0 to 1) of them do not exceed: the nearest rank. None of nothing."""
    if not sorted_values:
        return None
    return sorted_values[max(math.ceil(share * len(sorted_values)) - 1, 0)]
