"""The jobs role: beat and worker in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from esb.errors import EsbError
from esb.jobs.app import make_app
from esb.jobs.beat import Beat
from esb.jobs.tasks import register
from esb.jobs.worker import TaskWorker
from esb.wake import Stop
from esb.worker.sweeper import Heartbeat, Sweeper
from esb.worker.upkeep import Upkeep

LOOK = 1.0  # seconds between looks whether the worker still lives


def run(upkeep: Upkeep, sweeper: Sweeper, data_dir: Path, stopped: Stop, ready: Callable[[], None]) -> None:
    """Blocks until told to stop. The store has its tables, the broker its queues.

    Args:
        upkeep: what the tasks work with.
        sweeper: relays what they commit.
        data_dir: where the embedded broker keeps its file.
        stopped: waited for.
        ready: called once tasks are taken.

    Raises ``EsbError`` when the worker ends by itself: whoever looks after this process starts it again.
    """
    config = upkeep.definition.config
    app = make_app(config.broker, data_dir)
    register(app, upkeep, stopped)
    beat, tasks = Beat(app, upkeep), TaskWorker(app, ready)
    threads = (Heartbeat(upkeep, "jobs"), sweeper, tasks, beat)
    for thread in threads:
        thread.start()
    while not stopped.wait(LOOK) and tasks.is_alive():
        pass
    failed = not stopped()
    deadline = time.monotonic() + config.worker.drain
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.1))
    if failed:
        raise EsbError("the worker of the jobs ended by itself: its log says why")
