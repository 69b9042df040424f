"""Traffic: what passed each place lately, for the figures on pages and maps.

Test messages do not count. Read from the newest rows alone, so that it costs the same however much the store remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esb.store.connection import Connection

_NEWEST = (
    "SELECT place, status, received_at, ended_at FROM hops WHERE received_at >= ? "
    "AND (correlation_id < 'test:' OR correlation_id >= 'test;') ORDER BY received_at DESC LIMIT ?"
)
_STEPS = (
    "SELECT steps FROM (SELECT place, steps FROM hops WHERE received_at >= ? ORDER BY received_at DESC LIMIT ?) newest "
    "WHERE place = ? AND steps IS NOT NULL"
)
_WAITING, _FAILED = (10,), (20, 21)  # of Status: retrying; in doubt, parked


class PlaceTraffic(msgspec.Struct):
    """What passed one place. ``p95``: seconds from arrival to end that 19 of 20 stayed below; None: nothing ended."""

    count: int = 0
    failed: int = 0
    retrying: int = 0
    last: float = 0.0
    p95: float | None = None


class Traffic(msgspec.Struct, frozen=True):
    """Figures by place, of the time since ``since`` (epoch seconds).

    ``whole``: everything since then was counted; else it was more than was read, and ``since`` is where reading ended.
    """

    since: float
    whole: bool = True
    places: dict[str, PlaceTraffic] = {}

    def at(self, place: str) -> PlaceTraffic:
        """Of one place."""
        return self.places.get(place) or PlaceTraffic()


def read(connection: Connection, since: float, limit: int) -> Traffic:
    """Count the newest ``limit`` hops since a moment."""
    rows = connection.rows(_NEWEST, (since, limit))
    places: dict[str, PlaceTraffic] = {}
    took: dict[str, list[float]] = {}
    for place, status, received, ended in rows:
        found = places.setdefault(place, PlaceTraffic(last=received))
        found.count += 1
        found.failed += status in _FAILED
        found.retrying += status in _WAITING
        if ended is not None:
            took.setdefault(place, []).append(ended - received)
    for place, seconds in took.items():
        places[place].p95 = _p95(seconds)
    whole = len(rows) < limit
    return Traffic(since if whole else rows[-1][2], whole, places)


def steps(connection: Connection, place: str, since: float, limit: int) -> Sequence[bytes]:
    """What flows noted of their steps, packed, for those of the newest ``limit`` hops that are at a place."""
    rows: Sequence[Any] = connection.rows(_STEPS, (since, limit, place))
    return [bytes(row[0]) for row in rows]


def _p95(seconds: list[float]) -> float:
    """The nearest-rank percentile."""
    return max(sorted(seconds)[max(-(-len(seconds) * 95 // 100) - 1, 0)], 0.0)
