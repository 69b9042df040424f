"""Runs sides in turns, so that a machine that is slow for a while slows all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter

from bench.figures import Reading
from bench.machine import STOLEN, others, watch_steal
from bench.plan import Side
from bench.process import CannotRun

_LOOK = 0.2  # seconds
CHANCES = 2  # failures of a side before it is left out of the rounds that follow
TRIES = 3  # runs of which the calmest counts, while other machines take the processor


class Turns:
    """The readings of all sides, round by round."""

    def __init__(
        self,
        sides: Sequence[Side],
        tell: Callable[[str], None],
        look: Callable[[], float] | None = None,
        watch: Callable[[], Callable[[], float]] = watch_steal,
    ) -> None:
        """Args: those that take turns; where progress is told; what tells how much of the CPU others use, and what
        begins to watch how much other machines take."""
        self.rounds: dict[str, list[Reading | None]] = {side.name: [] for side in sides}
        self.failures: dict[str, str] = {}
        self.others: list[float] = []  # shares of the CPU that were in use before each run
        self.stolen: list[float] = []  # and that other machines took during each that counts
        self.again = 0  # runs that do not count, because of that
        self._sides = list(sides)
        self._tell = tell
        self._look = look or partial(others, _LOOK)
        self._watch = watch
        self._failed: dict[str, int] = {}

    def take(self, runs: int, messages: int) -> None:
        """Measure each side once in each round; who begins changes from round to round."""
        for number in range(runs):
            shift = number % max(len(self._sides), 1)
            for side in (*self._sides[shift:], *self._sides[:shift]):
                self.rounds[side.name].append(self._measure(side, f"run {number + 1} of {runs}", messages))

    def _measure(self, side: Side, where: str, messages: int) -> Reading | None:
        if self._failed.get(side.name, 0) >= CHANCES:
            return None
        self.others.append(self._look())
        try:
            stolen, reading = self._calmest(side, where, messages)
        except Exception as reason:  # whatever fails, the other sides go on
            self._failed[side.name] = self._failed.get(side.name, 0) + 1
            why = str(reason) if isinstance(reason, CannotRun) else f"{type(reason).__name__}: {reason}"
            self.failures[side.title] = f"failed in {where}: {why}"
            self._tell(f"{where}: {side.title}: {why}")
            return None
        self.stolen.append(stolen)
        return reading

    def _calmest(self, side: Side, where: str, messages: int) -> tuple[float, Reading]:
        """What other machines took, and the reading: of a run that they left alone, as far as there is one."""
        runs: list[tuple[float, Reading]] = []
        while len(runs) < TRIES and not any(stolen <= STOLEN for stolen, _ in runs):
            stolen = self._watch()
            reading = side.measure(max(int(messages * side.share), 100))
            runs.append((stolen(), reading))
            self._tell(f"{where}: {side.title}: {_shown(reading)}, stolen {runs[-1][0]:.1%}")
        self.again += len(runs) - 1
        return min(runs, key=itemgetter(0))


def _shown(reading: Reading) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in reading.items())
