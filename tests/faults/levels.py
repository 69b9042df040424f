"""Whether what was measured over a long time is level: its first quarter beside its last."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import msgspec

SHARE = 1.1  # what the last quarter may be of the first, and so much more, by the beginning of the name:
SLACK = {"memory": 5.0, "descriptors": 5.0, "threads": 4.0, "connections": 4.0, "files": 10.0, "messages": 100.0}
FEW = 100.0  # rows that a table may have more
SLOWEST = 5  # messages that are shown
SLOWER = 1.2  # what the last quarter's p99 may be of the first's

Window = tuple[float, float]  # two moments
Way = tuple[float, float]  # of a message: when it was given, and when it had its effect


class Level(msgspec.Struct, frozen=True):
    """One gauge: the medians of its four quarters, and how high the last may be (None: nobody promised)."""

    name: str
    quarters: tuple[float, ...]
    most: float | None

    @property
    def flat(self) -> bool:
        """Whether it did not grow."""
        return self.most is None or self.quarters[-1] <= self.most


class Latency(msgspec.Struct, frozen=True):
    """p50 and p99 in seconds of the first and the last quarter, and how many messages of all of them count.

    ``slowest``: of the last quarter, when each was given (since the beginning of the first) and how long it took.
    """

    p50: tuple[float, float]
    p99: tuple[float, float]
    counted: int
    of: int
    slowest: tuple[tuple[float, float], ...] = ()

    @property
    def ratio(self) -> float:
        """The last quarter's p99 by the first's."""
        return self.p99[1] / self.p99[0]


def quarters(began: float, ended: float) -> list[Window]:
    """Of the time between two moments."""
    edges = [began + (ended - began) * n / 4 for n in range(5)]
    return list(pairwise(edges))


def levels(
    series: Mapping[str, Sequence[tuple[float, float]]], windows: Sequence[Window], unpromised: Collection[str] = ()
) -> list[Level]:
    """Each series of (moment, value); one with no value in some quarter is left out, and one that is nought throughout.

    Args: the series by name; the quarters; those of which nobody promised that they are flat.
    """
    found = []
    for name, points in series.items():
        parts = [[value for at, value in points if begin <= at < end] for begin, end in windows]
        if all(parts) and any(map(any, parts)):
            medians = tuple(statistics.median(part) for part in parts)
            found.append(Level(name, medians, None if name in unpromised else _most(name, medians[0])))
    return found


def latency(ways: Sequence[Way], windows: Sequence[Window], struck: Sequence[Window]) -> Latency | None:
    """Of messages that were given in the first and in the last quarter, and met no fault nor what it left behind.

    None where a quarter has none.
    """
    calm = [way for way in ways if not any(way[0] < end and begin < way[1] for begin, end in struck)]
    ends = [sorted(end - start for start, end in calm if begin <= start < until) for begin, until in windows]
    if not ends[0] or not ends[-1]:
        return None
    p50, p99 = ((percentile(ends[0], share), percentile(ends[-1], share)) for share in (50, 99))
    last = (way for way in calm if windows[-1][0] <= way[0] < windows[-1][1])
    slow = sorted(last, key=lambda way: way[0] - way[1])[:SLOWEST]
    slowest = tuple((round(start - windows[0][0], 1), round(end - start, 2)) for start, end in slow)
    return Latency(p50, p99, sum(map(len, ends)), len(ways), slowest)


class Backlog:
    """How many messages are under way, of those that had their effect."""

    def __init__(self, ways: Sequence[Way], within: Window) -> None:
        """``within``: the time in which a look each second tells what is usual."""
        self._given = sorted(given for given, _ in ways)
        self._done = sorted(done for _, done in ways)
        looks = range(int(within[0]), max(int(within[1]), int(within[0]) + 1))
        self.usual = statistics.median(map(self.at, looks))

    def at(self, moment: float) -> int:
        """Given by then, and not done."""
        return bisect_right(self._given, moment) - bisect_right(self._done, moment)

    def gone(self, moment: float) -> float:
        """When, from a moment on, no more than usual were under way for the first time.

        That moment if they always were more: a bus that never catches up is not excused for it.
        """
        later = self._done[bisect_right(self._done, moment) :]
        return next((at for at in (moment, *later) if self.at(at) <= self.usual), moment)


def left_behind(ways: Sequence[Way], backlog: Backlog, struck: Window) -> Window:
    """A fault, until what had been given by its end is done, and no more wait than do in the middle of the soak.

    Args: messages of one way, or of several; the backlog of the same.
    """
    began, ended = struck
    through = max([ended, *(moment for given, moment in ways if given < ended)])
    return began, backlog.gone(through)


def percentile(times: Sequence[float], share: float) -> float:
    """Of sorted values, the one below which so many of a hundred lie."""
    return times[min(int(len(times) * share / 100), len(times) - 1)]


def _most(name: str, first: float) -> float:
    return first * SHARE + SLACK.get(name.split(maxsplit=1)[0], FEW)
