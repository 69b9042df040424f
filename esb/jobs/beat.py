"""The beat: one process of all hands out what is due, by the definition's schedules and the memory of the store."""

from __future__ import annotations

import time
from typing import Any

import celery
import celery.beat
from celery.exceptions import OperationalError

from esb.errors import BrokerDown, BrokerError
from esb.jobs.tasks import task_of
from esb.store import ScheduleRow, Transaction
from esb.worker.schedules import Job, due, jobs
from esb.worker.thread import Worker
from esb.worker.timers import next_due
from esb.worker.upkeep import Upkeep

LEASE = "beat"
EVERY = 1.0  # seconds between two looks


class Scheduler(celery.beat.Scheduler):
    """Celery's scheduler with another memory: nothing in a file of its own, all in the store.

    A job is sent first and noted after, so that a death in between sends it twice, which does no harm, and never
    leaves one out. Noting is fenced: whoever lost the lease while it stood still notes nothing.
    """

    def __init__(self, app: celery.Celery, upkeep: Upkeep) -> None:
        super().__init__(app, lazy=True)
        self._upkeep = upkeep
        self._jobs = jobs(upkeep.definition)
        self._ttl = upkeep.definition.config.worker.lease
        self._fence: int | None = None
        self._renew_at = 0.0

    def tick(self, **_: Any) -> float:
        """One look; seconds until the next."""
        if not self._leads():
            return EVERY
        now = self._upkeep.clock()
        with self._upkeep.store.reading() as t:
            rows, next_timer = t.schedules.all(), next_due(t)
            work = {"timers": next_timer is not None and next_timer <= now, "replays": bool(t.replays.due(now))}
        self._begin([job for name, job in self._jobs.items() if _is_new(job, rows.get(name))], now)
        for name, job in self._jobs.items():
            moment = due(job, rows.get(name), now, work.get(name, False))
            if moment is not None:
                self._hand_out(job, rows[name], moment, now)
        return min(EVERY, max(next_timer - now, 0.01)) if next_timer and next_timer > now else EVERY

    def resign(self) -> None:
        """Let another lead at once."""
        if self._fence is not None:
            with self._upkeep.store.transaction() as t:
                t.leases.release(LEASE, self._upkeep.owner, self._fence)
            self._fence = None

    def _leads(self) -> bool:
        if time.monotonic() < self._renew_at:
            return self._fence is not None
        owner = self._upkeep.owner
        with self._upkeep.store.reading() as t:
            taken = t.leases.holder(LEASE) not in (None, owner)
        if taken:
            self._fence = None
            return False
        with self._upkeep.store.transaction() as t:
            if self._fence is None or not t.leases.renew(LEASE, owner, self._fence, self._ttl):
                self._fence = t.leases.acquire(LEASE, owner, self._ttl)
        self._renew_at = time.monotonic() + self._ttl / 3 if self._fence is not None else 0.0
        return self._fence is not None

    def _begin(self, new: list[Job], now: float) -> None:
        if new:
            with self._upkeep.store.transaction() as t:
                self._require_lease(t)
                for job in new:
                    t.schedules.begin(job.name, job.spec, now)

    def _hand_out(self, job: Job, row: ScheduleRow, moment: float, now: float) -> None:
        try:
            self.app.send_task(task_of(job.kind), (job.name, moment), mandatory=True)
        except (OperationalError, BrokerError) as error:
            raise BrokerDown(f"cannot hand out the job {job.name}: {error}; it is tried again") from error
        self._upkeep.point("jobs: handed out")
        with self._upkeep.store.transaction() as t:
            self._require_lease(t)
            t.schedules.hand_out(job.name, row.sent, moment, now)

    def _require_lease(self, t: Transaction) -> None:
        if self._fence is None or not t.leases.renew(LEASE, self._upkeep.owner, self._fence, self._ttl):
            self._fence, self._renew_at = None, 0.0
            raise BrokerDown("another process leads the jobs now: this one stood still for too long")


class Beat(Worker):
    """The scheduler in a thread that outlives broker and store."""

    def __init__(self, app: celery.Celery, upkeep: Upkeep) -> None:
        super().__init__("beat")
        self._scheduler = Scheduler(app, upkeep)

    def cycle(self) -> None:
        self.stopping.wait(self._scheduler.tick())

    def finish(self) -> None:
        self._scheduler.resign()


def _is_new(job: Job, row: ScheduleRow | None) -> bool:
    return row is None or row.spec != job.spec
