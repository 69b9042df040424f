"""The figures that pictures carry: what passed lately, what failed, what waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from esb.broker.port import Broker, Depth, inbound_queue, saga_queue
from esb.config.definition import Definition
from esb.errors import BrokerDown
from esb.flow.result import StepTrace
from esb.store import Status, Store, Traffic
from esb.worker.queues import queue_of, queues_to

WINDOW = 900.0  # seconds that figures speak of
_TRACES = msgspec.msgpack.Decoder(list[StepTrace])


class Numbers(msgspec.Struct, frozen=True):
    """Of one box. None: nobody counts that here. ``p95``: seconds."""

    count: int | None = None
    failed: int = 0
    waiting: int | None = None
    p95: float | None = None

    @property
    def words(self) -> str:
        """All of it in words."""
        parts = [
            f"{self.count} passed" if self.count is not None else "",
            f"{self.failed} failed" if self.failed else "",
            f"{self.waiting} waiting" if self.waiting else "",
            f"19 of 20 within {self.p95 * 1000:.0f} ms" if self.p95 is not None else "",
        ]
        return ", ".join(filter(None, parts))


class Look(msgspec.Struct, frozen=True):
    """What broker and store said at one moment. ``trouble``: why queue depths are missing."""

    traffic: Traffic
    depths: Mapping[str, Depth] = {}
    trouble: str = ""

    def waiting(self, *queues: str) -> int | None:
        """Messages in queues, together; None where nobody knows."""
        known = [self.depths[queue].ready for queue in queues if queue in self.depths]
        return sum(known) if known else None

    def at(self, place: str, *queues: str) -> Numbers:
        """Of one place and its queues."""
        found = self.traffic.at(place)
        return Numbers(found.count, found.failed, self.waiting(*queues), found.p95)


def look(store: Store, broker: Broker | None, definition: Definition, now: float, window: float = WINDOW) -> Look:
    """Ask store and broker once, for everything. A broker that is down is said, not raised."""
    with store.reading() as t:
        traffic = t.tracking.traffic(now - window)
    depths, trouble = depths_of(broker, queues_of(definition)) if broker else ({}, "")
    return Look(traffic, depths, trouble)


def queues_of(definition: Definition) -> list[str]:
    """All queues that messages wait in."""
    endpoints = definition.endpoints.values()
    return [
        *map(queue_of, definition.flows.values()),
        *map(saga_queue, definition.sagas),
        *(queue for e in endpoints if e.operations for queue in queues_to(definition, e.name)),
        *(inbound_queue(endpoint.name) for endpoint in endpoints if endpoint.receive),
    ]


def depths_of(broker: Broker, queues: list[str]) -> tuple[Mapping[str, Depth], str]:
    """How much lies in each queue, and why nobody knows when nobody does."""
    try:
        return broker.depths(queues), ""
    except BrokerDown as error:
        return {}, str(error)


def map_numbers(look: Look, definition: Definition) -> dict[str, Numbers]:
    """For the boxes of the map of the bus."""
    numbers = {f"flow:{name}": look.at(f"flow:{name}", queue_of(flow)) for name, flow in definition.flows.items()}
    numbers |= {f"saga:{name}": look.at(f"saga:{name}", saga_queue(name)) for name in definition.sagas}
    for name, endpoint in definition.endpoints.items():
        if endpoint.receive:
            numbers[f"in:{name}"] = look.at(f"in:{name}", inbound_queue(name))
        if endpoint.operations:
            numbers[f"out:{name}"] = look.at(f"out:{name}", *queues_to(definition, name))
    return numbers


def flow_numbers(look: Look, store: Store, definition: Definition, name: str) -> dict[str, Numbers]:
    """For the boxes of one flow's picture: steps from what they noted, endpoints from their own places."""
    with store.reading() as t:
        packed = t.tracking.steps_at(f"flow:{name}", look.traffic.since)
    numbers = step_numbers(trace for one in packed for trace in _TRACES.decode(one))
    numbers["source"] = look.at(f"flow:{name}", queue_of(definition.flows[name]))
    for endpoint in definition.endpoints:
        found = look.at(f"out:{endpoint}", *queues_to(definition, endpoint))
        numbers[f"endpoint:{endpoint}"] = Numbers(None, found.failed, found.waiting, found.p95)
    return numbers


def step_numbers(traces: Iterable[StepTrace]) -> dict[str, Numbers]:
    """How often each step ran and failed, how often each way was taken and how often a filter let nothing through."""
    counts: dict[str, list[int]] = {}
    for trace in traces:
        failed = trace.outcome.startswith("failed")
        _add(counts, f"step:{trace.step}", failed)
        if trace.outcome == Status.FILTERED.label:
            _add(counts, f"end:{trace.step}")
        elif not failed:
            _add(counts, f"way:{trace.step}:{trace.outcome}")
    return {key: Numbers(count, failed) for key, (count, failed) in counts.items()}


def _add(counts: dict[str, list[int]], key: str, failed: bool = False) -> None:
    found = counts.setdefault(key, [0, 0])
    found[0] += 1
    found[1] += failed
