"""The tasks: a job's name and the moment it is due for, never a document. Each does its work once for a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import celery
import structlog
from celery.exceptions import Reject

from esb.errors import EsbError
from esb.wake import Stop
from esb.worker.failures import keep_in_bounds
from esb.worker.life import persist
from esb.worker.probes import probe
from esb.worker.replays import work_off
from esb.worker.schedules import Kind, fire, fire_test
from esb.worker.timers import fire_due
from esb.worker.upkeep import Upkeep

log = structlog.get_logger("esb.jobs")

Act = Callable[[Upkeep], str]  # does a job's work; what came of it, for people


def task_of(kind: Kind) -> str:
    """The name of the task for a kind of job."""
    return f"esb.jobs.{kind}"


def register(app: celery.Celery, upkeep: Upkeep, stopped: Stop) -> None:
    """Give the application its tasks, which work with what this process has until it is told to stop."""
    app.task(name=task_of("flow"))(_guarded(upkeep, _fire, stopped))
    app.task(name=task_of("test"))(_guarded(upkeep, _fire_test, stopped))
    for kind, act in _ACTS.items():
        app.task(name=task_of(kind))(_guarded(upkeep, partial(run, act=act), stopped))


def run(upkeep: Upkeep, name: str, moment: float, *, act: Act) -> None:
    """One job for one moment; a repeat of what is done does nothing.

    The work itself can be repeated without harm, so that a death before it is noted only has it done again.
    """
    with upkeep.store.reading() as t:
        row = t.schedules.all().get(name)
    if row is not None and row.done >= moment:
        return
    note = act(upkeep)
    upkeep.point("jobs: done")
    with upkeep.store.transaction() as t:
        t.schedules.done(name, moment, upkeep.clock(), note)


def _fire(upkeep: Upkeep, name: str, moment: float) -> None:
    fire(upkeep, name.partition(":")[2], moment)


def _fire_test(upkeep: Upkeep, name: str, moment: float) -> None:
    fire_test(upkeep, name.partition(":")[2], moment)


def _guarded(upkeep: Upkeep, work: Callable[[Upkeep, str, float], None], stopped: Stop) -> Callable[[str, float], None]:
    """A job waits for broker and store when they are down; told to stop meanwhile, it leaves its task in the queue.

    What else goes wrong is told and shown at the job, which is handed out again after its patience.
    """

    def task(name: str, moment: float) -> None:
        try:
            ended = persist(partial(work, upkeep, name, moment), stopped)
        except Exception as error:
            expected = isinstance(error, EsbError)
            log.warning("a job failed", job=name, error=str(error), exc_info=None if expected else error)
            _note_failure(upkeep, name, error)
        else:
            if not ended:
                raise Reject(f"told to stop before the job {name} ran", requeue=True)

    return task


def _note_failure(upkeep: Upkeep, name: str, error: Exception) -> None:
    try:
        with upkeep.store.transaction() as t:
            t.schedules.failed(name, f"failed: {error}")
    except EsbError as worse:
        log.warning("cannot note it", job=name, error=str(worse))


def _timers(upkeep: Upkeep) -> str:
    return f"{fire_due(upkeep)} fired"


def _retention(upkeep: Upkeep) -> str:
    deleted = upkeep.store.prune(upkeep.clock(), upkeep.definition.config.retention)
    return f"{sum(deleted.values())} rows deleted"


def _failures(upkeep: Upkeep) -> str:
    return keep_in_bounds(upkeep)


def _probes(upkeep: Upkeep) -> str:
    bad = probe(upkeep)
    return f"{bad} of {len(upkeep.definition.endpoints)} do not answer" if bad else "all answer"


def _replays(upkeep: Upkeep) -> str:
    return f"{work_off(upkeep)} pieces sent on"


_ACTS: Mapping[Kind, Act] = {
    "timers": _timers,
    "retention": _retention,
    "failures": _failures,
    "probes": _probes,
    "replays": _replays,
}
