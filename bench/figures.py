"""What is made of readings: medians, and ratios of what was measured side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import msgspec

Reading = dict[str, float]
"""What one run of one side measured, by name: ``rate`` (messages a second), ``cpu`` (µs for each) …"""

Rounds = Mapping[str, Sequence[Reading | None]]
"""The readings of each side, by its name: one for each round, None where it failed or was left out."""


class Aim(msgspec.Struct, frozen=True):
    """What is promised: the best of ``sides``, measured against ``against`` where that is named.

    Exactly one of ``at_least`` and ``at_most`` is given.
    """

    text: str
    sides: tuple[str, ...]
    key: str = "rate"
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """An aim and what was measured."""

    text: str
    measured: float
    aim: float
    holds: bool


def median(readings: Sequence[Reading | None], key: str) -> float | None:
    """The middle of what was measured; None when nothing was."""
    values = [reading[key] for reading in readings if reading is not None and key in reading]
    return statistics.median(values) if values else None


def spread(readings: Sequence[Reading | None], key: str) -> tuple[float, float] | None:
    """The lowest and the highest of what was measured."""
    values = [reading[key] for reading in readings if reading is not None and key in reading]
    return (min(values), max(values)) if values else None


def ratio(ours: Sequence[Reading | None], theirs: Sequence[Reading | None], key: str) -> float | None:
    """The median over rounds of ours by theirs.

    Both sides of a round ran within seconds of each other. A machine that is slow for a while slows both, so this
    says more than the ratio of two medians.
    """
    pairs = zip(ours, theirs, strict=True)
    values = [one[key] / other[key] for one, other in pairs if one and other and key in one and other.get(key)]
    return statistics.median(values) if values else None


def between(rounds: Rounds, ours: str, theirs: str, key: str) -> float | None:
    """As :func:`ratio`, of sides by their names; None where one was not measured."""
    return ratio(rounds[ours], rounds[theirs], key) if ours in rounds and theirs in rounds else None


def judge(aim: Aim, rounds: Rounds) -> Verdict | None:
    """Whether an aim holds; None when what it takes was not measured."""
    found = [value for side in aim.sides if (value := _measured(aim, side, rounds)) is not None]
    if not found:
        return None
    if aim.at_least is not None:
        best = max(found)
        return Verdict(aim.text, best, aim.at_least, best >= aim.at_least)
    assert aim.at_most is not None
    best = min(found)
    return Verdict(aim.text, best, aim.at_most, best <= aim.at_most)


def _measured(aim: Aim, side: str, rounds: Rounds) -> float | None:
    if aim.against is None:
        return median(rounds.get(side, ()), aim.key)
    return between(rounds, side, aim.against, aim.key)
