"""The soak: half of what the bus manages, for a long time, with a fault now and then. Does anything grow, or slow down?

``make faults ONLY=soak MINUTES=20``. Retention is short, and its job is asked for every few seconds, so that tables
level off. The role ``bus`` is not killed, so that what it gathers is seen; the second process of that role is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice

import msgspec

from esb.errors import EsbError
from tests.faults.gauges import IN_DOUBT, LOAD, Gauges
from tests.faults.harness import Fire
from tests.faults.kinds import KINDS
from tests.faults.levels import SLOWER, Backlog, Latency, Level, Way, Window, latency, left_behind, levels, quarters
from tests.faults.scenarios import DELAYS, Scenario, burning
from tests.faults.trial import Struck, Trial
from tests.faults.verdict import Verdict, judge

EMBEDDED = ("kill helper", "system down", "kill jobs", "system slow")
SERVERS = (*EMBEDDED, "kill broker", "kill database")
SHARE = 0.5  # of the peak
THROUGH = "messages through"  # how it tells its progress
PATIENCE = 300.0  # seconds for the last messages
QUIET = 2.0  # seconds without an effect, after which nothing is under way that is not awaited
UNPROMISED = (IN_DOUBT, "rows parked", LOAD)
WAYS = {"/keyed": "feed", "/event": "feed", "/answered": "rows", "/ship": "rows", "/order": "orders"}

Tell = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """How the seconds of a soak are spent."""

    total: float  # at half the peak

    @property
    def peak(self) -> float:
        """Before that, to see what the bus manages."""
        return min(max(self.total / 20, 2.0), 30.0)

    @property
    def messages(self) -> float:
        """Retention of journeys."""
        return max(self.total / 20, 1.0)

    @property
    def inbox(self) -> float:
        """Retention of the inbox: longer by more than the longest delay."""
        return self.messages + 35

    @property
    def warm(self) -> float:
        """Until tables have levelled off."""
        return min(self.inbox + 15, self.total / 4)

    @property
    def faults(self) -> int:
        return max(round(self.total / 60), 2)

    @property
    def hold(self) -> float:
        """Of a fault that does not end by itself."""
        return min(self.total / 40, 10.0)

    @property
    def every(self) -> float:
        """Between two looks, and between two wishes for retention."""
        return min(max(self.total / 240, 1.0), 5.0)


class Report(msgspec.Struct, kw_only=True):
    """What came of a soak. ``latency``: of all ways together, and of each."""

    place: str
    seed: int
    minutes: float
    peak: dict[str, float]  # messages a second, by feed
    rate: dict[str, float]
    messages: dict[str, int]
    faults: dict[str, int]
    recovery_longest: float
    gauges: list[str]  # all that were read
    levels: list[Level]  # of those that were read in each quarter
    latency: dict[str, Latency]
    in_doubt: dict[str, int]
    may_doubt: dict[str, int]
    verdict: Verdict
    problems: list[str]

    @property
    def kept(self) -> bool:
        """Nothing lost, nothing doubled, and nothing happened that nobody foresaw."""
        return self.verdict.clean and not self.problems

    @property
    def passed(self) -> bool:
        """That, nothing grew, and the last quarter was not slower than the first."""
        latency = self.latency.get("all")
        return self.kept and all(o.flat for o in self.levels) and latency is not None and latency.ratio <= SLOWER


def run(place: str, minutes: float, seed: int, tell: Tell) -> Report:
    """Raises ``AssertionError`` when the bus does not recover."""
    plan = Plan(minutes * 60)
    retention = f"messages: {plan.messages:.0f}s, inbox: {plan.inbox:.0f}s"
    setup = {"retention": retention, "later": "1s, 2s, 5s, 10s, 10s, 10s, 10s, 10s", "delays": DELAYS}
    kinds = SERVERS if place == "servers" else EMBEDDED
    with burning(Scenario(place, kinds, hold=plan.hold), seed, **setup) as fire:
        soak = Soak(fire, plan, kinds, tell)
        try:
            return soak.run(minutes, seed)
        finally:
            soak.close()


class Soak:
    """A trial at a constant rate, under the eyes of gauges."""

    def __init__(self, fire: Fire, plan: Plan, kinds: tuple[str, ...], tell: Tell) -> None:
        self._fire = fire
        self._plan = plan
        self._kinds = kinds
        self._tell = tell
        self._trial = Trial(fire, plan.hold)
        self._gauges = Gauges(self._trial, plan.every)
        self._feeds = {"feed": fire.feed, "rows": fire.rows, "orders": fire.orders}
        self._struck: list[Window] = []

    def run(self, minutes: float, seed: int) -> Report:
        """All of it."""
        self._trial.begin()
        peak = self._peak()
        rate = {name: value * SHARE for name, value in peak.items()}
        self._tell(f"it manages {_shown(peak)}; from now on half of that")
        for name, feed in self._feeds.items():
            feed.keep_pace(max(rate[name], 1.0))
        self._gauges.start()
        began = time.monotonic()
        self._work(began)
        parts = quarters(began + self._plan.warm, time.monotonic())
        self._gauges.stop()
        self._tell("nothing more is fed: what is under way comes to its end")
        verdict = self._finish()
        return Report(
            place=self._fire.place.name, seed=seed, minutes=minutes, peak=peak, rate=rate,
            messages={name: feed.fed for name, feed in self._feeds.items()},
            faults=dict(Counter(struck.kind for struck in self._trial.struck)),
            recovery_longest=max(struck.recovered for struck in self._trial.struck),
            gauges=sorted(self._series()), levels=levels(self._series(), parts, UNPROMISED),
            latency=self._latency(parts),
            in_doubt=verdict.in_doubt, may_doubt=dict(self._fire.doubt), verdict=verdict,
            problems=self._trial.problems(),
        )  # fmt: skip

    def close(self) -> None:
        """Stop what it started."""
        self._gauges.stop()
        self._trial.close()

    # --- the work -------------------------------------------------------------------------------------------------

    def _peak(self) -> dict[str, float]:
        """Messages a second of each feed that had all their effects, with as many under way as the bus can use."""
        time.sleep(self._plan.peak / 2)
        began, before = time.monotonic(), self._had_all()
        time.sleep(self._plan.peak)
        took, after = time.monotonic() - began, self._had_all()
        return {name: round((after[name] - before[name]) / took, 1) for name in after}

    def _through(self) -> dict[str, int]:
        fire = self._fire
        return {"feed": fire.told(), "rows": fire.sagas_over(), "orders": len(fire.effects["/order"])}

    def _had_all(self) -> dict[str, int]:
        """The slowest system counts: a rate at which its queue grows is none that the bus manages."""
        effects, tables = self._fire.effects, self._fire.tables
        paths = {name: [path for path, feed in WAYS.items() if feed == name] for name in self._feeds}
        reached = {name: [len(effects[path]) for path in those] for name, those in paths.items()}
        reached["feed"].append(len(effects["/unkeyed"]))
        reached["rows"] += [len(tables.booked), len(tables.noted)]
        reached["orders"] += [len(effects["/later"]), len(effects["/picky"]), len(tables.kept), len(self._fire.filed())]
        return {name: min(counts) for name, counts in reached.items()}

    def _work(self, began: float) -> None:
        """Faults at their moments, and retention in between."""
        plan = self._plan
        for number, kind in enumerate(islice(cycle(self._kinds), plan.faults)):
            self._until(began + plan.warm + (plan.total - plan.warm) * (number + 0.5) / plan.faults)
            self._strike(kind)
        self._until(began + plan.total)

    def _until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            with suppress(EsbError), self._fire.store.transaction() as t:
                t.schedules.want("retention", time.time())
            self._tell(f"{sum(self._through().values()):,} {THROUGH}")
            time.sleep(min(left, self._plan.every))

    def _strike(self, kind: str) -> None:
        """One fault, until everything flows again; the backlog that it leaves is worked off meanwhile."""
        self._tell(f"{kind}: strikes")
        began = time.monotonic()
        struck: Struck = self._trial.strike(kind, KINDS[kind].act(self._trial), KINDS[kind].lasts)
        self._struck.append((began, time.monotonic()))
        self._tell(f"{kind}: flowed again {struck.recovered:.1f} s after its end")

    def _finish(self) -> Verdict:
        """Everything comes to its end. The bus's own sums say nothing here: retention takes away what they count."""
        for feed in self._fire.feeds:
            feed.stop()
        self._trial.end_schedule()
        deadline, moving, verdict = time.monotonic() + PATIENCE, True, self._judged()
        while (verdict.lost or moving) and time.monotonic() < deadline:
            before = self._fire.done()
            self._trial.retry_sagas()
            time.sleep(QUIET)
            moving, verdict = self._fire.done() != before, self._judged()
        return verdict

    def _judged(self) -> Verdict:
        fire = self._fire
        found = judge(fire.debts(), fire.parked(), fire.ledger(), fire.accepted)
        return msgspec.structs.replace(found, sums=())

    # --- what came of it ------------------------------------------------------------------------------------------

    def _series(self) -> dict[str, list[tuple[float, float]]]:
        series: dict[str, list[tuple[float, float]]] = {}
        for sample in self._gauges.samples:
            for name, value in sample.values.items():
                series.setdefault(name, []).append((sample.at, value))
        return series

    def _latency(self, parts: list[Window]) -> dict[str, Latency]:
        ways = {path: self._ways(path, self._feeds[feed].given) for path, feed in WAYS.items()}
        backlogs = {path: Backlog(each, (parts[0][0], parts[-1][1])) for path, each in ways.items()}
        everything = [way for each in ways.values() for way in each]
        struck = [left_behind(everything, backlog, window) for backlog in backlogs.values() for window in self._struck]
        found = {name: latency(each, parts, struck) for name, each in {"all": everything, **ways}.items()}
        return {name: each for name, each in found.items() if each is not None}

    def _ways(self, path: str, given: list[float]) -> list[Way]:
        moments = self._fire.recorder.moments[path]
        return [(given[number], moment) for number, moment in moments.items() if number < len(given)]


def table(report: Report) -> str:
    """For people, in Markdown."""
    lines = [
        "| measured | first quarter | second | third | last | may be | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for level in report.levels:
        cells = [f"{value:,.1f}" for value in level.quarters]
        most = "" if level.most is None else f"{level.most:,.1f}"
        lines.append(f"| {' | '.join((level.name, *cells, most, 'flat' if level.flat else 'GROWS'))} |")
    for name, each in report.latency.items():
        lines.append(
            f"| p99 of {name}, ms (p50) | {each.p99[0] * 1e3:,.0f} ({each.p50[0] * 1e3:,.0f}) | | | "
            f"{each.p99[1] * 1e3:,.0f} ({each.p50[1] * 1e3:,.0f}) | {each.ratio:.2f} x | "
            f"{each.counted:,} of {each.of:,} |"
        )
    return "\n".join(lines)


def summary(report: Report) -> str:
    """What comes before and behind the table."""
    faults = ", ".join(f"{count} x {kind}" for kind, count in report.faults.items())
    said = str(report.verdict) if report.verdict.clean else f"WRONG: {report.verdict}"
    slow = report.latency["all"].slowest if "all" in report.latency else ()
    ratio = report.latency["all"].ratio if "all" in report.latency else float("nan")
    return "\n".join([
        f"{report.place}, {report.minutes:g} minutes at half of {_shown(report.peak)}; {faults}",
        f"ledger: {said}; in doubt {sum(report.in_doubt.values())}, and {sum(report.may_doubt.values())} may be",
        f"problems: {'; '.join(report.problems) or 'none'}",
        f"p99, last quarter by first, without faults and what they left behind: {ratio:.2f}",
        f"the slowest of the last quarter: {', '.join(f'{took} s at {at} s' for at, took in slow)}",
        "passed" if report.passed else "NOT PASSED",
    ])  # fmt: skip


def _shown(rates: dict[str, float]) -> str:
    return ", ".join(f"{rate:,.0f} {name}/s" for name, rate in rates.items())
