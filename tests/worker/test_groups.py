"""Stateful steps with real broker and store: groups, order, answers, time, and deaths at each point."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.broker.port import endpoint_queue, flow_queue, resume_queue
from esb.errors import Refused
from esb.ports import Reply, Request
from esb.store import GroupRow, Status
from tests.worker.rig import Dies, Rig, endpoint_worker, feed, flow_worker, order, sweep, until

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

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turned() -> object:
            self.turn()
            return condition()

        until(turned, what, 30.0)

    def sends(self, *numbers: int) -> None:
        """Until these have arrived, in this order, and nothing else does."""
        self.until(lambda: len(self.rig.outside("target").numbers()) >= len(numbers), f"{numbers} are sent")
        self.rests()
        assert self.rig.outside("target").numbers() == list(numbers)

    def rests(self) -> None:
        """Until nothing moves by itself; a broker tells only after a moment what lies in its queues."""
        quiet = 0
        while quiet < 3:
            self.turn()
            quiet = quiet + 1 if self._is_quiet() else 0

    def _is_quiet(self) -> bool:
        names = (endpoint_queue(name) for name, e in self.bus.definition.endpoints.items() if e.operations)
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
    running.sends(6)
    assert [rig.hop(f"order-{n}", "flow:main").status for n in (1, 2, 3)] == [Status.COMPLETED] * 3
    assert running.groups() == []
    (group,) = running.groups(waiting=False)
    assert (group.key, group.size, group.reason) == ("x", 3, "complete")
    assert rig.hop(group.id, "flow:main").status is Status.COMPLETED


def test_they_go_on_in_order(rig: Rig) -> None:
    """Whatever order they come in."""
    running = Running(rig, RESEQUENCE)
    for number in (3, 1, 5, 4, 2):
        feed(running.bus, order(number))
        running.rests()
    running.sends(1, 2, 3, 4, 5)


def test_the_best_answer_is_kept(rig: Rig) -> None:
    """All are asked, one fails, and the message goes on once with the lowest price."""
    ask(rig, a=7, b=None, c=5)
    running = Running(rig, GATHER)
    feed(running.bus, order(1))
    running.sends(5)
    assert rig.hop("order-1", "flow:main").status is Status.COMPLETED
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.rejected) == (4, 3, 1)


def ask(rig: Rig, **prices: int | None) -> None:
    """Systems that are asked for a price; who has none refuses."""
    for name, price in prices.items():
        rig.write(f"endpoints/{name}.yaml", PARTNER.format(name=name))
        rig.outside(name).script = quoting(price)


def quoting(price: int | None) -> Callable[[Request], Reply]:
    def quote(request: Request) -> Reply:
        if price is None:
            raise Refused("nothing to sell")
        return Reply(detail="quoted", body=json.dumps({"price": price}).encode(), content_type="application/json")

    return quote
