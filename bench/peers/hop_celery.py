"""A hop from task to task with Celery: one process, no pool, acknowledged late, each publish confirmed."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task, signals
from clock import arguments
from kombu import Queue
from work import convert

PREFETCH = 1200

url, source, target, clock = arguments()
app = Celery("bench", broker=url)
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_queues=[Queue(source, durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_create_missing_queues=False,
    task_default_queue=source,
    task_acks_late=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=PREFETCH,
    worker_detect_quorum_queues=True,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=False,
)
picks = Queue(target, durable=True, no_declare=True, queue_arguments={"x-queue-type": "quorum"})
_passed_on = [f"x-header-{number}" for number in range(8)]


@app.task(name="order", bind=True)
def handle(self: Task, order: dict[str, Any]) -> None:
    """The hop."""
    headers = {name: self.request.get(name) for name in _passed_on}
    app.send_task("pick", (convert(order),), queue=picks, headers=headers)


@signals.task_postrun.connect
def count(**_: Any) -> None:
    """Behind the task; the last one's acknowledgement is under way."""
    if clock.tick():
        clock.report()
        os._exit(0)


if __name__ == "__main__":
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", "--pool=solo", "--loglevel=WARNING", *quiet])
