"""The long form of the trial by fire: scenarios, each with its faults, its messages, and what came of it."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.faults import places
from tests.faults.harness import Fire
from tests.faults.kinds import KINDS, LINKS, PROCESSES, SYSTEMS
from tests.faults.trial import Struck, Trial
from tests.faults.verdict import Verdict

DELAYS = "500ms, 1s, 2s, 5s, 10s, 10s, 10s, 10s, 10s, 10s"  # longer than any fault, so that nothing is parked for it
FEW = 8  # rows under way, and requests: each costs as much as several messages of files, which most are
LATER = ", ".join(30 * ["2h"])  # and so in the system whose hours are a second


class Scenario(msgspec.Struct, frozen=True):
    """What is done to a bus. ``times`` faults are spread over the messages; 0: one ``every`` so many seconds."""

    place: str
    kinds: tuple[str, ...]
    times: int = 0
    every: float = 2.0
    hold: float = 20.0  # seconds that a fault lasts which does not end by itself
    most: int = 10**9  # messages


SCENARIOS: dict[str, Scenario] = {
    "workers": Scenario("servers", ("kill workers",)),
    "kills": Scenario("servers", ("kill everything",)),
    "broker": Scenario("servers", ("kill broker",), times=10),
    "database": Scenario("servers", ("kill database",), times=10),
    "silence": Scenario("servers", tuple(f"silence {link}" for link in LINKS), times=6, hold=60.0),
    "answers": Scenario("servers", ("confirms late", "confirms refused", "commands returned"), times=9),
    "limits": Scenario("servers", ("memory alarm", "full queues"), times=6),
    "networks": Scenario("servers", tuple(f"{what} {link}" for what in ("lag", "cut") for link in LINKS), times=12),
    "processes": Scenario("servers", tuple(PROCESSES), times=2 * len(PROCESSES), hold=45.0),
    "systems": Scenario("servers", tuple(SYSTEMS), times=2 * len(SYSTEMS)),
    "embedded": Scenario("embedded", ("kill everything",), times=50, most=20_000),
    "disk": Scenario("embedded", ("full disk",), times=5),
}


class Report(msgspec.Struct, kw_only=True):
    """What came of a scenario."""

    scenario: str
    place: str
    seed: int
    messages: int
    seconds: float
    faults: dict[str, int]
    recovery_median: float
    recovery_longest: float
    in_doubt: dict[str, int]
    may_doubt: dict[str, int]
    sent_on: dict[str, int]
    verdict: Verdict
    problems: list[str]

    @property
    def passed(self) -> bool:
        """Nothing is wrong."""
        return self.verdict.clean and not self.problems


Tell = Callable[[str, int, int, Struck | None], None]  # scenario, messages through, of how many, the fault


def run(name: str, messages: int, seed: int, tell: Tell) -> Report:
    """One scenario, on servers of its own. Raises ``AssertionError`` when the bus does not recover."""
    scenario = SCENARIOS[name]
    messages, began = min(messages, scenario.most), time.monotonic()
    with burning(scenario, seed, few=FEW) as fire:
        trial = Trial(fire, scenario.hold, lambda struck: tell(name, trial.through(), messages, struck))
        try:
            trial.begin()
            _strike(scenario, trial, messages, lambda: tell(name, trial.through(), messages, None))
            verdict = trial.finish()
            problems = trial.problems()
        finally:
            trial.close()
        return _report(name, scenario, seed, trial, verdict, problems, time.monotonic() - began)


@contextmanager
def burning(scenario: Scenario, seed: int, **setup: Any) -> Iterator[Fire]:
    """A bus under fire on private servers, put out and cleared away in the end. Args: and what differs of its setup."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="esb-faults-")))
        if scenario.place == "servers":
            from esb.testing.servers.postgresql import PostgresServer
            from esb.testing.servers.rabbitmq import RabbitMqServer

            place = places.servers(root, stack.enter_context(RabbitMqServer()), stack.enter_context(PostgresServer()))
        else:
            place = places.embedded(root)
        patient = {"delays": DELAYS, "later": LATER}
        fire = Fire(root, place, seed, **{"under_way": 500, "concurrency": 16, "lease": "15s", **patient, **setup})
        stack.callback(fire.close)
        yield fire


def plan(scenario: Scenario, seed: int) -> Iterator[str]:
    """Its faults without end, each kind once before any comes again; the same for the same seed."""
    chance = random.Random(seed)
    while True:
        yield from chance.sample(scenario.kinds, len(scenario.kinds))


def _strike(scenario: Scenario, trial: Trial, messages: int, tick: Callable[[], None]) -> None:
    """Strike until the messages are through, or so often as it says, spread over them."""
    for number, kind in enumerate(plan(scenario, trial.random.randrange(2**32)), 1):
        due = messages if number > scenario.times else messages * number // (scenario.times + 1)
        rest = time.monotonic() + scenario.every
        while trial.through() < messages and (trial.through() < due if scenario.times else time.monotonic() < rest):
            tick()
            time.sleep(0.1)
        if trial.through() >= messages and number > scenario.times:
            return
        trial.strike(kind, KINDS[kind].act(trial), KINDS[kind].lasts)


def _report(
    name: str, scenario: Scenario, seed: int, trial: Trial, verdict: Verdict, problems: list[str], seconds: float
) -> Report:
    recovered = [struck.recovered for struck in trial.struck]
    return Report(
        scenario=name, place=scenario.place, seed=seed, messages=sum(feed.fed for feed in trial.fire.feeds),
        seconds=round(seconds), faults=dict(Counter(struck.kind for struck in trial.struck)),
        recovery_median=round(statistics.median(recovered), 1), recovery_longest=round(max(recovered), 1),
        in_doubt=verdict.in_doubt, may_doubt=dict(trial.fire.doubt), sent_on=dict(trial.sent_on), verdict=verdict,
        problems=problems,
    )  # fmt: skip
