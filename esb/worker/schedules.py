"""Schedules: what is due when, and the message that a due one sends to its flow.

Deciding is pure, and what is remembered lies in the store; whoever hands the jobs out, and however often, a moment
has one message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

import msgspec

from esb.config.definition import Definition, LoadedFlow
from esb.message import Message, content_id, create
from esb.schedule import Cron, Timetable, every
from esb.store import Dispatch, ScheduleRow, Status, Transaction
from esb.units import duration_text
from esb.worker.queues import queue_of
from esb.worker.synthetic import job_of_test, send_test
from esb.worker.upkeep import Upkeep

LATE = 60.0  # seconds after which a moment was missed, and is made up for only where the schedule says so
PRUNE_EVERY = 600.0  # seconds
LOOK_EVERY = 60.0  # seconds between looks whether a place fails without end

Kind = Literal["flow", "test", "retention", "failures", "probes", "timers", "replays"]


class Job(msgspec.Struct, frozen=True):
    """Something that runs by itself. Without a timetable it runs when the store has work for it.

    ``patience``: seconds after which one that was handed out and not done is taken for lost, and handed out again.
    """

    name: str
    kind: Kind
    timetable: Timetable | None = None
    catch_up: bool = True
    patience: float = 600.0

    @property
    def spec(self) -> str:
        """What a person reads, and what starts the job anew when it changes."""
        return self.timetable.text if self.timetable else "when there is work"


def jobs(definition: Definition) -> dict[str, Job]:
    """All jobs of a bus, by name: one for each flow that starts by itself, and what keeps the bus in order."""
    found = [_flow_job(flow) for flow in definition.flows.values() if flow.schedule]
    found += [_test_job(flow) for flow in definition.flows.values() if flow.test_message]
    found.append(Job("timers", "timers", patience=30.0))
    found.append(Job("replays", "replays", patience=60.0))
    found.append(Job("failures", "failures", every(LOOK_EVERY, duration_text(LOOK_EVERY))))
    found.append(Job("retention", "retention", every(PRUNE_EVERY, duration_text(PRUNE_EVERY))))
    if definition.config.probe != "off":
        period = max(definition.config.probe, 1.0)
        found.append(Job("probes", "probes", every(period, duration_text(period)), patience=max(60.0, period)))
    return {job.name: job for job in found}


def job_of(flow: str) -> str:
    """The name of a flow's job."""
    return f"flow:{flow}"


def due(job: Job, row: ScheduleRow | None, now: float, work: bool = False) -> float | None:
    """The moment that a job is due for now, or None. Pure.

    Args:
        job: what may be due.
        row: what is remembered of it; None: it has not begun.
        now: seconds since the epoch.
        work: whether the store has work for a job without timetable.
    """
    if row is None or row.spec != job.spec:
        return None
    if row.sent > row.done:
        return row.sent if now - row.sent_at >= job.patience else None
    if job.timetable is None:
        return now if work or row.wanted else None
    moment = job.timetable.latest(now)
    if moment is not None and moment > row.last and (job.catch_up or now - moment <= LATE):
        return moment
    return now if row.wanted else None


def next_run(job: Job, row: ScheduleRow | None, now: float) -> float | None:
    """When a job with a timetable runs next; None where that cannot be said."""
    return job.timetable.after(max(now, row.last if row else now)) if job.timetable else None


def wish(t: Transaction, name: str, at: float, who: str, why: str = "") -> None:
    """A person wants a job to run, whenever it is due. Audited."""
    t.schedules.want(name, at)
    t.audit.append(who, "run job", f"job:{name}", why)


def fire(upkeep: Upkeep, flow: str, moment: float) -> bool:
    """Send a flow its message for a moment; False when it has it already."""
    loaded = upkeep.definition.flows.get(flow)
    if loaded is None:
        return False
    now = upkeep.clock()

    def send(t: Transaction, row: ScheduleRow) -> None:
        message = scheduled(loaded, moment, row.done)
        t.tracking.record([
            upkeep.journal().hop(
                message, f"in:{loaded.source}", Status.ACCEPTED, received_at=now, ended_at=now, attempts=1, sent=1
            )
        ])  # fmt: skip
        t.outbox.add([Dispatch(message=message, to=queue_of(loaded))])

    return _once(upkeep, job_of(flow), moment, send)


def fire_test(upkeep: Upkeep, flow: str, moment: float) -> bool:
    """Send a flow its test message for a moment; False when it has it already."""
    loaded = upkeep.definition.flows.get(flow)
    if loaded is None or loaded.test_message is None:
        return False

    def send(t: Transaction, row: ScheduleRow) -> None:
        send_test(t, upkeep.definition, upkeep.journal(), loaded, moment, upkeep.clock())

    return _once(upkeep, job_of_test(flow), moment, send)


def _once(upkeep: Upkeep, job: str, moment: float, send: Callable[[Transaction, ScheduleRow], None]) -> bool:
    """Note, journey and message are one transaction, so whoever dies leaves nothing half done, and of two who fire at
    the same time one does; False: it was done before. The note is written last: as long as the rest waits for a lock,
    the beat, which notes what it hands out in the same row, must not have to wait with it."""
    while True:
        with suppress(_Overtaken), upkeep.store.transaction() as t:
            row = t.schedules.all().get(job)
            if row is None or row.done >= moment:
                return False
            send(t, row)
            noted = t.schedules.done(job, moment, upkeep.clock())
            if noted is None or noted.previous != row.done:
                raise _Overtaken
            upkeep.point("jobs: fired")
            break
    upkeep.committed()
    return True


class _Overtaken(Exception):  # noqa: N818 - says what is so
    """Another has noted the job since its row was read."""


def scheduled(flow: LoadedFlow, moment: float, previous: float) -> Message:
    """The message of a moment: the same moment gives the same id, whoever makes it and how often.

    Its document says what it was scheduled for, and what the run before it was (null: there was none), by the
    schedule's own clock.
    """
    document = {"scheduled": _local(flow, moment), "previous": _local(flow, previous) if previous else None}
    id = content_id(flow.source, repr(moment), when=moment)
    body = msgspec.json.encode(document)
    return create(body, type=f"{flow.name}.scheduled", source="schedule", id=id, time=moment)


def _flow_job(flow: LoadedFlow) -> Job:
    assert flow.schedule is not None
    return Job(job_of(flow.name), "flow", flow.schedule.timetable(), flow.schedule.catch_up, patience=60.0)


def _test_job(flow: LoadedFlow) -> Job:
    """Without a schedule it runs when somebody wishes."""
    test = flow.test_message
    assert test is not None
    timetable = test.timetable() if test.schedule or test.every else None
    return Job(job_of_test(flow.name), "test", timetable, catch_up=False, patience=60.0)


def _local(flow: LoadedFlow, moment: float) -> str:
    assert flow.schedule is not None
    table = flow.schedule.timetable()
    zone = table.zone if isinstance(table, Cron) else UTC
    return datetime.fromtimestamp(moment, zone).isoformat()


class Listed(msgspec.Struct, frozen=True):
    """One job as people see it. Times are epoch seconds, 0: never."""

    name: str
    kind: Kind
    when: str
    last: float
    next: float
    state: Literal["waiting", "due", "under way", "wanted"]
    note: str


def listed(definition: Definition, rows: Mapping[str, ScheduleRow], now: float) -> Sequence[Listed]:
    """Every job of a bus with its last and its next run, in the order of names."""
    return [_listed(job, rows.get(name), now) for name, job in sorted(jobs(definition).items())]


def _listed(job: Job, row: ScheduleRow | None, now: float) -> Listed:
    state: Literal["waiting", "due", "under way", "wanted"] = "waiting"
    if row is not None and row.sent > row.done:
        state = "under way"
    elif row is not None and row.wanted:
        state = "wanted"
    elif due(job, row, now) is not None:
        state = "due"
    last, note = (row.done_at, row.note) if row else (0.0, "")
    return Listed(job.name, job.kind, job.spec, last, next_run(job, row, now) or 0.0, state, note)
