"""What is kept of a benchmark: medians, the lowest and highest of the runs, ratios, and what could not be measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.figures import Rounds, Verdict, between, median, spread
from bench.machine import BUSY, STOLEN
from bench.plan import Plan, Side
from bench.rounds import Turns


def summary(plan: Plan, turns: Turns, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """All of it, as it goes into JSON."""
    return {
        "sides": {side.name: _figures(plan, turns.rounds, side) for side in plan.sides},
        "aims": [msgspec.structs.asdict(verdict) | {"measured": _rounded(verdict.measured)} for verdict in verdicts],
        "absent": plan.absent,
        "failures": turns.failures,
    }


def quietness(before: float, turns: Turns, after: float) -> dict[str, object]:
    """Whether others used the machine: their share of its CPU before, between the runs of sides, and after.

    And other machines: the median and the most that they took during a run that counts; how many do not for that.
    """
    shares = {"before": before, "between": statistics.median(turns.others or [0.0]), "after": after}
    stolen = {"median": statistics.median(turns.stolen or [0.0]), "most": max(turns.stolen, default=0.0)}
    return {
        "quiet": max(before, after) <= BUSY and stolen["median"] <= STOLEN,
        "others": {when: round(share, 2) for when, share in shares.items()},
        "stolen": {name: round(share, 3) for name, share in stolen.items()} | {"again": turns.again},
    }


def save(name: str, machine: Mapping[str, object], result: Mapping[str, object], directory: Path) -> Path:
    """Write a benchmark's result to a file named after the day and the benchmark."""
    directory.mkdir(exist_ok=True)
    file = directory / f"{result['measured']}-{name}.json"
    text = msgspec.json.encode({"benchmark": name, "machine": machine, **result})
    file.write_bytes(msgspec.json.format(text, indent=2) + b"\n")
    return file


def _figures(plan: Plan, rounds: Rounds, side: Side) -> dict[str, object]:
    """The medians of a side, their spread, and its ratios."""
    found: dict[str, object] = {}
    for key in dict.fromkeys(key for reading in rounds[side.name] if reading for key in reading):
        found[key] = {
            "median": _rounded(median(rounds[side.name], key)), "spread": _rounded(spread(rounds[side.name], key))
        }  # fmt: skip
    found["of"] = {plan.against(side): _rounded(between(rounds, side.name, plan.against(side), plan.compare))}
    found["ours_is"] = _rounded(between(rounds, plan.ours, side.name, plan.compare))
    return found


def _rounded(value: object) -> object:
    """Four digits that mean something are enough for a file that people read."""
    if isinstance(value, tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
