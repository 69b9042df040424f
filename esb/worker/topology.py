"""What must exist in the broker for a definition: queues, bindings and delays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from esb.broker.port import (
    JOBS_QUEUE,
    Queue,
    Topology,
    endpoint_queue,
    event_key,
    flow_queue,
    inbound_queue,
    line_queues,
    resume_queue,
    saga_queue,
)
from esb.config import Definition, sources_of_flows, sources_of_sagas
from esb.config.definition import LoadedFlow, LoadedSaga
from esb.flow import calls
from esb.recovery import delays
from esb.worker.hold import FULL
from esb.worker.queues import lined_up, queue_of
from esb.worker.verdict import LONGEST_DELAY_QUEUE


def topology(definition: Definition, previous: Iterable[tuple[str, str]] = (), sagas: Iterable[str] = ()) -> Topology:
    """All queues, bindings and delays of a definition.

    Args:
        definition: what comes into force.
        previous: what was bound before; beyond the definition it is stale.
        sagas: names of sagas that have not ended, whether they are in the definition or not.
    """
    queues = [Queue(queue_of(f), _wanted_by(f), single=bool(f.ordering)) for f in definition.flows.values()]
    queues += [Queue(saga_queue(s.name), _wanted_by(s)) for s in definition.sagas.values()]
    queues += [Queue(saga_queue(name)) for name in sagas if name not in definition.sagas]
    queues += [Queue(resume_queue(f.name)) for f in definition.flows.values() if calls((f.steps, f.on_error))]
    queues += [Queue(endpoint_queue(e.name)) for e in definition.endpoints.values() if e.operations]
    queues += [Queue(line, single=True) for name in lined_up(definition) for line in line_queues(name)]
    queues.append(Queue(JOBS_QUEUE))
    queues += [Queue(inbound_queue(e.name)) for e in definition.endpoints.values() if e.receive]
    waits = {FULL, definition.config.worker.lease}
    waits.update(wait for e in definition.endpoints.values() for wait in delays(e.recovery))
    wanted = {(queue.name, key) for queue in queues for key in queue.events}
    return Topology(
        queues=tuple(queues),
        delays=tuple(sorted(wait for wait in waits if wait <= LONGEST_DELAY_QUEUE)),
        stale=tuple(sorted(set(previous) - wanted)),
    )


def _wanted_by(starts: LoadedFlow | LoadedSaga) -> tuple[str, ...]:
    return (event_binding(starts.source),) if starts.is_event else ()


def event_binding(contract: str) -> str:
    """``order.placed/v1`` as a routing key."""
    type, _, version = contract.partition("/v")
    return event_key(type, int(version))


def bindings_of(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """(queue, routing key) of every flow and saga in a stored definition that starts at an event."""
    starts = [(flow_queue(name, ordered), source) for name, source, ordered in sources_of_flows(files)]
    starts += [(saga_queue(name), source) for name, source in sources_of_sagas(files)]
    return [(queue, event_binding(source)) for queue, source in starts if "/" in source]
