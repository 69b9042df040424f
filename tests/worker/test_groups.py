"""Stateful steps with real broker and store: groups, order, answers, time, and deaths at each point."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.broker.port import endpoint_queue, flow_queue, resume_queue
from esb.store import GroupRow, Status
from esb.worker.groups import strike_due
from tests.worker.rig import Dies, Rig, endpoint_worker, feed, flow_worker, order, sweep, until, upkeep

AGGREGATE = """\
flow: main
from: source
steps:
  - aggregate: {by: batch, size: of, timeout: 10m}
  - set: {number: '$sum(members.number)'}
  - send: target.put
"""
RESEQUENCE = """\
flow: main
from: source
steps:
  - resequence: {number: number, timeout: 10m}
  - send: target.put
"""
GATHER = """\
flow: main
from: source
steps:
  - gather: {ask: [a.quote, b.quote, c.quote], as: best, best: {lowest: price}, timeout: 10m, least: 2}
  - set: {number: best.answer.price}
  - send: target.put
"""
PARTNER = """\
endpoint: {name}
adapter: scripted
timeout: 1s
operations: {{quote: {{effect: keyed}}}}
recovery: {{retries: 0, delays: []}}
"""


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    made: Rig = request.getfixturevalue("server_rig") if request.param == "servers" else Rig(tmp_path)
    yield made
    if request.param == "embedded":
        made.close()


class Running:
    """One process: the flow worker and every endpoint's, driven in turn, with a clock of its own."""

    def __init__(self, rig: Rig, flow: str = "", point: Callable[[str], None] | None = None) -> None:
        if flow:
            rig.write("flows/main.yaml", flow)
            rig.write("contracts/order/v1.json", json.dumps({"type": "object", "x-subject": "key"}))
        self.rig = rig
        self.late = 0.0  # seconds that the clock is ahead
        more: dict[str, Any] = {"point": point} if point else {}
        self.bus = rig.bus(clock=lambda: time.time() + self.late, **more)
        self.flow = flow_worker(self.bus)
        names = [name for name, e in self.bus.definition.endpoints.items() if e.operations]
        self.endpoints = [endpoint_worker(self.bus, name) for name in names]

    def turn(self) -> None:
        self.flow.cycle()
        for worker in self.endpoints:
            worker.cycle()
        sweep(self.bus)
        strike_due(upkeep(self.bus))

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turned() -> object:
            self.turn()
            return condition()

        until(turned, what, 30.0)

    def settles(self) -> None:
        """Until nothing moves by itself: no queue has anything, nothing is to be sent on."""
        self.until(self._is_quiet, "it settles")

    def _is_quiet(self) -> bool:
        names = (endpoint_queue(worker.name) for worker in self.endpoints)
        depths = self.bus.broker.depths([flow_queue("main"), resume_queue("main"), *names])
        with self.bus.store.reading() as t:
            return not t.outbox.count() and not any(d.ready or d.unsettled > 0 for d in depths.values())

    def dies(self) -> None:
        with pytest.raises(Dies):
            self.until(lambda: False, "it dies")
        self.close()

    def close(self) -> None:
        for worker in (self.flow, *self.endpoints):
            worker.recover()

    def groups(self, **given: Any) -> list[GroupRow]:
        with self.bus.store.reading() as t:
            return t.groups.search(**given)


def test_members_become_one(rig: Rig) -> None:
    """When all are there, in the order they came; each of them is done, and one message is sent."""
    running = Running(rig, AGGREGATE)
    feed(running.bus, *[order(n, batch="x", of=3) for n in (1, 2, 3)])
    running.settles()
    assert rig.outside("target").numbers() == [6]
    assert [rig.hop(f"order-{n}", "flow:main").status for n in (1, 2, 3)] == [Status.COMPLETED] * 3
    assert running.groups() == []
    (group,) = running.groups(waiting=False)
    assert (group.key, group.size, group.reason) == ("x", 3, "complete")
    assert rig.hop(group.id, "flow:main").status is Status.COMPLETED
