"""What is due when, and that a moment has one message."""

from __future__ import annotations

import json
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esb.broker.port import flow_queue
from esb.schedule import cron, every
from esb.store import ScheduleRow
from esb.worker.schedules import LATE, Job, due, fire, jobs, listed, next_run, scheduled
from tests.worker.rig import Dies, Point, Rig, flow_worker, sweep, upkeep

HOURLY = Job("report", "flow", cron("0 * * * *"), patience=60.0)
PUNCTUAL = msgspec.structs.replace(HOURLY, catch_up=False)
HOUR = 3600.0


def row(**fields: float) -> ScheduleRow:
    return ScheduleRow("report", HOURLY.spec, **fields)


@pytest.mark.parametrize(
    ("known", "now", "moment"),
    [
        (None, 5 * HOUR, None),  # it has not begun
        (ScheduleRow("report", "every 5m"), 5 * HOUR, None),  # it was another
        (row(base=4.5 * HOUR), 5 * HOUR - 1, None),
        (row(base=4.5 * HOUR), 5 * HOUR, 5 * HOUR),
        (row(base=5 * HOUR), 5 * HOUR + 1, None),  # nothing before its beginning
        (row(sent=5 * HOUR, done=5 * HOUR), 5 * HOUR + 1, None),
        (row(sent=5 * HOUR, done=5 * HOUR), 9.5 * HOUR, 9 * HOUR),  # of four missed ones, one
        (row(sent=5 * HOUR, sent_at=5 * HOUR, done=4 * HOUR), 5 * HOUR + 30, None),  # under way
        (row(sent=5 * HOUR, sent_at=5 * HOUR, done=4 * HOUR), 5 * HOUR + 60, 5 * HOUR),  # lost on the way
        (row(sent=5 * HOUR, done=5 * HOUR, wanted=1.0), 5.2 * HOUR, 5.2 * HOUR),  # a person asks for it
        (row(sent=5 * HOUR, done=5 * HOUR, wanted=1.0), 6 * HOUR, 6 * HOUR),  # and it is due anyway
    ],
)
def test_what_is_due(known: ScheduleRow | None, now: float, moment: float | None) -> None:
    """One moment at a time, what was missed once, what is lost again."""
    assert due(HOURLY, known, now) == moment


def test_without_catch_up_what_was_missed_is_left_out() -> None:
    """A little late is not missed."""
    known = row(sent=5 * HOUR, done=5 * HOUR)
    assert due(PUNCTUAL, known, 6 * HOUR + LATE) == 6 * HOUR
    assert due(PUNCTUAL, known, 6 * HOUR + LATE + 1) is None
    assert due(PUNCTUAL, known, 7 * HOUR) == 7 * HOUR


def test_a_job_without_timetable_runs_when_there_is_work() -> None:
    """And one at a time."""
    job = Job("timers", "timers", patience=30.0)
    idle = ScheduleRow("timers", job.spec, sent=10.0, done=10.0)
    assert due(job, idle, 20.0) is None
    assert due(job, idle, 20.0, work=True) == 20.0
    assert due(job, msgspec.structs.replace(idle, sent=15.0, sent_at=15.0), 20.0, work=True) is None


@given(st.lists(st.floats(0.1, 500.0), min_size=1, max_size=60), st.booleans())
def test_whoever_looks_whenever_no_moment_comes_twice_and_the_last_is_never_missed(
    steps: list[float], lost: bool
) -> None:
    """Looks at any times, with hand-outs that get lost: moments rise, and after a look nothing due is left."""
    job = Job("report", "flow", every(60.0, "1m"), patience=100.0)
    known, now, ran = ScheduleRow("report", job.spec, base=1000.0), 1000.0, []
    for number, step in enumerate(steps):
        now += step
        moment = due(job, known, now)
        if moment is None:
            continue
        known = msgspec.structs.replace(known, sent=moment, sent_at=now)
        if not (lost and number % 2):
            ran.append(moment)
            known = msgspec.structs.replace(known, done=moment, previous=known.done)
    assert ran == sorted(set(ran))
    assert all(moment % 60 == 0 and moment > 1000.0 for moment in ran)
    now += 200.0
    while (moment := due(job, known, now)) is not None:
        known = msgspec.structs.replace(known, sent=moment, sent_at=now, done=moment)
    assert known.done == every(60.0, "1m").latest(now)


# --- the message --------------------------------------------------------------------------------------------------

REPORT = """\
    flow: report
    from: {schedule: "0 18 * * mon-fri", tz: Europe/London}
    steps:
      - send: target.put
    """
MOMENT = datetime.fromisoformat("2026-07-01T18:00:00+01:00").timestamp()


def begin(rig: Rig) -> None:
    with rig.last.store.transaction() as t:
        t.schedules.begin("flow:report", "0 18 * * mon-fri Europe/London", MOMENT - 90_000)


@pytest.fixture
def reporting(rig: Rig) -> Rig:
    """A bus with a flow that starts by itself."""
    rig.write("flows/report.yaml", REPORT)
    rig.bus()
    begin(rig)
    return rig


def test_the_flow_gets_its_message(reporting: Rig) -> None:
    """It says for when it is, by the schedule's clock, and what ran before; and it is in the ledger."""
    work = upkeep(reporting.last)
    assert fire(work, "report", MOMENT)
    assert fire(work, "report", MOMENT + 86400)
    sweep(reporting.last)
    worker = flow_worker(reporting.last)
    worker.cycle()
    worker.finish()
    first, second = (
        json.loads(m.body)
        for m in (scheduled(flow(reporting), MOMENT, 0), scheduled(flow(reporting), MOMENT + 86400, MOMENT))
    )
    assert first == {"scheduled": "2026-07-01T18:00:00+01:00", "previous": None}
    assert second == {"scheduled": "2026-07-02T18:00:00+01:00", "previous": "2026-07-01T18:00:00+01:00"}
    with reporting.last.store.reading() as t:
        hops = t.tracking.find(type="report.scheduled")
    assert sorted({hop.place for hop in hops}) == ["flow:report", "in:schedule:report"]
    assert len(hops) == 4
    assert (reporting.ledger().accepted, reporting.ledger().completed) == (2, 2)


def flow(rig: Rig):  # type: ignore[no-untyped-def]
    return rig.last.definition.flows["report"]


def test_a_moment_that_fires_twice_has_one_message(reporting: Rig) -> None:
    """By two processes, and again later."""
    other = reporting.bus(prepare=False)
    assert fire(upkeep(reporting.last), "report", MOMENT)
    assert not fire(upkeep(other), "report", MOMENT)
    assert not fire(upkeep(other), "report", MOMENT - 86400)
    sweep(reporting.last)
    assert reporting.depth(flow_queue("report")) == 1
    assert scheduled(flow(reporting), MOMENT, 0).id == scheduled(flow(reporting), MOMENT, 5.0).id
    assert scheduled(flow(reporting), MOMENT, 0).id != scheduled(flow(reporting), MOMENT + 1, 0).id


def test_a_death_before_the_commit_leaves_nothing(reporting: Rig) -> None:
    """Neither the note nor the message: it fires again, and once."""
    with pytest.raises(Dies):
        fire(upkeep(reporting.last, Point("jobs: fired")), "report", MOMENT)
    assert fire(upkeep(reporting.last), "report", MOMENT)
    sweep(reporting.last)
    assert reporting.depth(flow_queue("report")) == 1
    assert reporting.ledger().accepted == 1


def test_a_flow_that_is_gone_is_no_failure(reporting: Rig) -> None:
    """A hint from before a change of the configuration."""
    assert not fire(upkeep(reporting.last), "gone", MOMENT)


def test_a_person_sees_when_what_runs(reporting: Rig) -> None:
    """Last and next run, and whether it is due, under way or asked for."""
    definition, now = reporting.last.definition, MOMENT + 60
    assert {"failures", "flow:report", "probes", "replays", "retention", "timers"} == set(jobs(definition))

    def states() -> dict[str, str]:
        with reporting.last.store.reading() as t:
            return {entry.name: entry.state for entry in listed(definition, t.schedules.all(), now)}

    assert states()["flow:report"] == "due"
    with reporting.last.store.transaction() as t:
        t.schedules.want("retention", now)
        t.schedules.hand_out("flow:report", 0.0, MOMENT, now)
    assert (states()["flow:report"], states()["retention"], states()["probes"]) == ("under way", "wanted", "waiting")
    job = jobs(definition)["flow:report"]
    assert next_run(job, None, now) == MOMENT + 86400
