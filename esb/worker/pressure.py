"""Back-pressure: while too much waits behind a source, nothing more is let in there.

Limits are kept at the edge, where messages come in, and not by the broker's own: a broker that refuses what goes from
one queue to the next would also refuse what returns from a delay queue, and would hold up the retries of everybody.
So a message that is in goes its way whatever waits, and a full endpoint stops no flow.
"""

from __future__ import annotations

import threading
import time

from esb.broker.port import Broker, inbound_queue, resume_queue, saga_queue
from esb.config.definition import Definition, LoadedFlow, LoadedSaga
from esb.errors import BrokerDown
from esb.flow import calls
from esb.flow.outline import whole
from esb.worker.queues import queue_of, queues_to

LOOK = 1.0  # seconds between looks at the queues
REST = 20.0  # times as long as a look took: RabbitMQ is asked queue by queue, and a landscape may have a thousand
AGAIN = 10.0  # the same while the broker is away


class Pressure:
    """How much waits behind each endpoint that receives, by the broker's own count. Any thread may ask."""

    def __init__(self, definition: Definition, broker: Broker) -> None:
        self._broker = broker
        sources = [endpoint.name for endpoint in definition.endpoints.values() if endpoint.receive]
        self._limits = {name: limits_behind(definition, name) for name in sources}
        self._lock = threading.Lock()
        self._look_at = 0.0
        self._full: dict[str, str] = {}

    def trouble(self, endpoint: str) -> str:
        """Why nothing more may come in there, or nothing. While the broker is away, what it said last."""
        if time.monotonic() >= self._look_at and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._full.get(endpoint, "")

    def _look(self) -> None:
        queues = {queue for limits in self._limits.values() for queue, most in limits.items() if most}
        began = time.monotonic()
        try:
            depths = self._broker.depths(sorted(queues))
        except BrokerDown:  # whoever publishes is told, and should not have to wait for two connections
            self._look_at = time.monotonic() + AGAIN
            return
        now = time.monotonic()
        self._look_at = now + max(LOOK, REST * (now - began))
        waiting = {queue: depth.ready for queue, depth in depths.items()}
        self._full = {
            endpoint: f"{waiting[queue]} messages wait in {queue}"
            for endpoint, limits in self._limits.items()
            for queue, most in limits.items()
            if most and waiting.get(queue, 0) >= most
        }


def limits_behind(definition: Definition, endpoint: str) -> dict[str, int]:
    """Every queue that what comes in there may get to, and how many messages may wait in it (0: any number)."""
    usual = definition.config.backlog
    found: dict[str, int] = {inbound_queue(endpoint): usual}
    sources, seen = [endpoint], set[str]()
    while sources:
        source = sources.pop()
        if source in seen:
            continue
        seen.add(source)
        for flow in definition.flows.values():
            if flow.source == source:
                found |= _of_flow(definition, flow, usual, sources)
        for saga in definition.sagas.values():
            if saga.source == source:
                found |= _of_saga(definition, saga, usual, sources)
    return found


def _of_flow(definition: Definition, flow: LoadedFlow, usual: int, sources: list[str]) -> dict[str, int]:
    links = [link for node in whole(flow) for link in node.links]
    sources += [link.name for link in links if link.kind == "event"]
    most = usual if flow.backlog is None else flow.backlog
    found = {queue_of(flow): most}
    if calls((flow.steps, flow.on_error)):
        found[resume_queue(flow.name)] = most
    for link in links:
        if link.kind == "endpoint":
            found |= _of_endpoint(definition, link.name, usual)
    return found


def _of_saga(definition: Definition, saga: LoadedSaga, usual: int, sources: list[str]) -> dict[str, int]:
    sources += [event.publish for event in (saga.completed, saga.compensated) if event]
    found = {saga_queue(saga.name): usual}
    for step in saga.steps:
        found |= _of_endpoint(definition, step.call.partition(".")[0], usual)
    return found


def _of_endpoint(definition: Definition, name: str, usual: int) -> dict[str, int]:
    endpoint = definition.endpoints.get(name)
    most = usual if endpoint is None or endpoint.backlog is None else endpoint.backlog
    return dict.fromkeys(queues_to(definition, name), most)
