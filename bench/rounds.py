"""Runs sides in turns, so that a machine that is slow for a while slows all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bench.figures import Reading
from bench.machine import others
from bench.plan import Side
from bench.process import CannotRun

_LOOK = 0.2  # seconds
CHANCES = 2  # failures of a side before it is left out of the rounds that follow


class Turns:
    """The readings of all sides, round by round."""

    def __init__(
        self, sides: Sequence[Side], tell: Callable[[str], None], look: Callable[[], float] | None = None
    ) -> None:
        """Args: those that take turns; where progress is told; what tells how much of the CPU others use."""
        self.rounds: dict[str, list[Reading | None]] = {side.name: [] for side in sides}
        self.failures: dict[str, str] = {}
        self.others: list[float] = []  # shares of the CPU that were in use before each run
        self._sides = list(sides)
        self._tell = tell
        self._look = look or partial(others, _LOOK)
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
            reading = side.measure(max(int(messages * side.share), 100))
        except Exception as reason:  # whatever fails, the other sides go on
            self._failed[side.name] = self._failed.get(side.name, 0) + 1
            why = str(reason) if isinstance(reason, CannotRun) else f"{type(reason).__name__}: {reason}"
            self.failures[side.title] = f"failed in {where}: {why}"
            self._tell(f"{where}: {side.title}: {why}")
            return None
        self._tell(f"{where}: {side.title}: {_shown(reading)}")
        return reading


def _shown(reading: Reading) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in reading.items())
