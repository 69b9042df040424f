"""`make faults`: the long form of the trial by fire. Progress on standard error; the last line is one JSON object.

python -m tests.faults --messages 100000 --only kills --seed 4711
python -m tests.faults --only soak --minutes 20 --place servers
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time

import msgspec

from tests.faults import soak
from tests.faults.scenarios import SCENARIOS, Report, run
from tests.faults.trial import Struck

EVERY = 10.0  # seconds between two lines where there is no terminal


class Progress:
    """How far it is, and each fault as it strikes and ends."""

    def __init__(self) -> None:
        self._next = 0.0
        self._terminal = sys.stderr.isatty()

    def __call__(self, scenario: str, through: int, messages: int, struck: Struck | None) -> None:
        line = f"{scenario:<10} {through:>9,} of {messages:,} messages"
        if struck is not None:
            again = f"flowed again {struck.recovered:.1f} s after its end, {struck.last} last"
            end = again if struck.recovered else "strikes"
            sys.stderr.write(f"\r{line}  {struck.at:>7.1f} s  {struck.kind}: {end}\n")
        elif self._terminal or time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            sys.stderr.write(f"\r{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()


class Clock:
    """What a soak tells, with the time since it began; how many messages are through only now and then."""

    def __init__(self, minutes: float) -> None:
        self._began = time.monotonic()
        self._minutes = minutes
        self._next = 0.0

    def __call__(self, text: str) -> None:
        passed = time.monotonic() - self._began
        if not text.endswith(soak.THROUGH) or passed >= self._next:
            self._next = passed + EVERY
            sys.stderr.write(f"soak {passed / 60:>5.1f} of about {self._minutes + 2:g} min  {text}\n")
            sys.stderr.flush()


def main() -> int:
    """The command line; 0 when every scenario passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="for each scenario")
    parser.add_argument("--only", choices=[*SCENARIOS, "soak"])
    parser.add_argument("--minutes", type=float, default=20.0, help="of the soak, which runs only when it is named")
    parser.add_argument("--place", choices=["embedded", "servers"], default="embedded", help="of the soak")
    parser.add_argument("--seed", type=int, default=4711, help="the same faults in the same order")
    chosen = parser.parse_args()
    os.environ["ESB_ADMIN_PORT"] = "0"
    if chosen.only == "soak":
        return _soak(chosen.place, chosen.minutes, chosen.seed)
    names = [chosen.only] if chosen.only else list(SCENARIOS)
    reports = [run(name, chosen.messages, chosen.seed, Progress()) for name in names]
    print(table(reports))
    print(json.dumps({"faults": [msgspec.to_builtins(report) for report in reports], "machine": _machine()}))
    return 0 if all(report.passed for report in reports) else 1


def _soak(place: str, minutes: float, seed: int) -> int:
    report = soak.run(place, minutes, seed, Clock(minutes))
    print(f"{soak.table(report)}\n\n{soak.summary(report)}")
    print(json.dumps({"soak": msgspec.to_builtins(report) | {"passed": report.passed}, "machine": _machine()}))
    return 0 if report.passed else 1


def _machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


def table(reports: list[Report]) -> str:
    """For people, in Markdown."""
    lines = [
        "| scenario | messages | faults | recovery (longest) | lost | doubled | in doubt (may be) | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for report in reports:
        lost, doubled = (sum(map(len, found.values())) for found in (report.verdict.lost, report.verdict.doubled))
        doubt = f"{sum(report.in_doubt.values())} ({sum(report.may_doubt.values())})"
        recovery = f"{report.recovery_median} s ({report.recovery_longest} s)"
        said = "passed" if report.passed else f"{report.verdict} {report.problems or ''}".replace("\n", "; ")
        cells = (
            report.scenario, f"{report.messages:,}", str(sum(report.faults.values())), recovery, str(lost),
            str(doubled), doubt, said,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
