"""The Celery application: on the bus's own broker, with nothing in it that must survive.

A task is a hint that something is due. What is due, and what was done, lies in the store; so there is no result
backend, no ETA and no remote control, and a task that comes twice, or late, or never, does no harm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import celery

from esb.broker.port import JOBS_QUEUE
from esb.broker_url import parse

EMBEDDED = "esb.broker.embedded.transport:Transport"


def make_app(broker: str, data_dir: Path | str) -> celery.Celery:
    """The application for a broker.

    Args:
        broker: ``embedded``, or ``amqp[s]://…`` as in esb.yaml.
        data_dir: where the embedded broker keeps its file.
    """
    app = celery.Celery("esb", set_as_current=False, fixups=[])
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        # The bus declares the queue, as it does all its queues: quorum on RabbitMQ. Celery is told so, since such
        # queues refuse a prefetch that counts for a whole channel. The default exchange leads there by its name.
        task_queues={JOBS_QUEUE: {"no_declare": True, "queue_arguments": {"x-queue-type": "quorum"}}},
        task_default_queue=JOBS_QUEUE,
        task_default_exchange="",
        task_default_routing_key=JOBS_QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_consumer="esb.jobs.worker:Consumer",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        **_connection(broker, data_dir),
    )
    return app


def _connection(broker: str, data_dir: Path | str) -> dict[str, Any]:
    if broker == "embedded":
        options = {"data_dir": str(data_dir)}
        return {"broker_url": "esb://localhost", "broker_transport": EMBEDDED, "broker_transport_options": options}
    settings = parse(broker)
    user = f"{quote(settings.user, safe='')}:{quote(settings.password, safe='')}"
    return {
        "broker_url": f"amqp://{user}@{settings.host}:{settings.port}/{quote(settings.vhost, safe='')}",
        "broker_use_ssl": settings.ssl_options(),
        "broker_heartbeat": settings.heartbeat,
        "broker_connection_timeout": settings.connect_timeout,
        "broker_transport_options": {
            "confirm_publish": True,
            "confirm_timeout": settings.confirm_timeout,
            "read_timeout": settings.read_timeout,
            "write_timeout": settings.write_timeout,
        },
    }
