"""The Celery worker of the jobs role: threads in this process, and only those parts of Celery that are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import celery
import celery.worker
import celery.worker.consumer
import celery.worker.state
import structlog

from esb.broker.embedded.transport import Transport
from esb.worker.thread import LONGEST_PAUSE, SHORTEST_PAUSE, Threaded

log = structlog.get_logger("esb.jobs")

THREADS = 4  # jobs at once


class Consumer(celery.worker.consumer.Consumer):
    """Without gossip, mingle, heartbeat, events and remote control, which would declare queues of their own and wake
    an idle process; and without Celery's delayed delivery, 28 queues for ETAs that the bus never uses."""

    class Blueprint(celery.worker.consumer.Consumer.Blueprint):
        """The steps that are left."""

        default_steps = (
            "celery.worker.consumer.connection:Connection",
            "celery.worker.consumer.tasks:Tasks",
            "celery.worker.consumer.consumer:Evloop",
        )

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, again and again, with pauses as everybody else makes them here: Celery's own grow to 30 seconds."""
        return conn.ensure_connection(
            _tell, interval_start=SHORTEST_PAUSE, interval_step=1.0, interval_max=LONGEST_PAUSE,
            callback=celery.worker.state.maybe_shutdown,
        )  # fmt: skip


def _tell(error: Exception, pause: float) -> None:
    log.warning("jobs wait for the broker", error=str(error), again_in=pause)


class TaskWorker(Threaded):
    """Takes tasks until told to stop. Connects again by itself when the broker comes back."""

    def __init__(self, app: celery.Celery, ready: Callable[[], None]) -> None:
        """Args: the application, and what to call once tasks are taken."""
        super().__init__("tasks")
        celery.worker.state.should_stop = None  # Celery's own, for the whole process
        self._controller = app.WorkController(
            pool_cls="threads",
            concurrency=THREADS,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            ready_callback=lambda _: ready(),
        )

    def run(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        """Ask it to end after the tasks it is in; what it has not begun goes back to the queue.

        Celery waits for messages twice more, two seconds each, before it heeds that; the embedded transport is told.
        """
        celery.worker.state.should_stop = 0
        consumer = self._controller.consumer
        connection = consumer and consumer.connection
        if connection and connection.connected and isinstance(connection.transport, Transport):
            connection.transport.interrupt()
