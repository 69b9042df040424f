"""Test messages: they take the way of every other, and leave no trace in business."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esb.bus import Bus
from esb.message import TEST
from esb.store import Hop, Status
from esb.worker.schedules import fire_test
from esb.worker.synthetic import Fared, fared
from tests.worker.rig import Rig, endpoint_worker, feed, flow_worker, order, sweep, upkeep

FLOW = """\
flow: main
from: source
test_message:
  every: 5m
  within: 30s
  reaches: [{reaches}]
  document: {{number: 7, key: T-7}}
steps:
{steps}
"""
STEPS = "  - send: target.put\n  - publish: order/v1"


class Bench:
    """One process, with a clock that the test moves."""

    def __init__(self, rig: Rig, steps: str = STEPS, reaches: str = "target") -> None:
        self.rig, self.now = rig, 1e9
        rig.write("flows/main.yaml", FLOW.format(steps=steps, reaches=reaches))
        self.bus: Bus = rig.bus(clock=lambda: self.now)
        with self.bus.store.transaction() as t:
            t.schedules.begin("test:main", "5m", self.now)

    def fire(self, moment: float = 1e9) -> bool:
        return fire_test(upkeep(self.bus), "main", moment)

    def run(self) -> None:
        """Relay, run the flow, serve the endpoint, until nothing is left."""
        flow, target = flow_worker(self.bus), endpoint_worker(self.bus)
        for _ in range(6):
            sweep(self.bus)
            flow.cycle()
            target.cycle()
        flow.finish()
        target.finish()

    def fared(self) -> Fared:
        with self.bus.store.reading() as t:
            return fared(t, self.bus.definition.flows["main"], self.now)

    def hops(self, **filters: Any) -> list[Hop]:
        with self.bus.store.reading() as t:
            return t.tracking.find(**filters)


@pytest.mark.parametrize("kind", ["embedded_rig", "server_rig"])
def test_it_goes_to_its_end_and_no_count_knows_of_it(kind: str, request: pytest.FixtureRequest) -> None:
    """The system is not asked, ledger, figures and searches leave it out, and its journey tells all of it."""
    rig: Rig = request.getfixturevalue(kind)
    bench = Bench(rig)
    assert bench.fared().state == "never sent"
    assert (bench.fire(), bench.fire()) == (True, False)
    assert bench.fared().state == "under way"
    bench.run()
    assert bench.fared().state == "passed"
    assert rig.outside("target").calls == []
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.sent, ledger.published, ledger.flows) == (0, 0, 0, {})
    with bench.bus.store.reading() as t:
        assert (t.tracking.traffic(0.0).places, dict(t.figures.entered(0.0, 60.0))) == ({}, {})
    assert bench.hops() == []
    assert {(hop.place, hop.status) for hop in bench.hops(tests=True)} == {
        ("test:main", Status.ACCEPTED), ("flow:main", Status.COMPLETED), ("out:target", Status.COMPLETED),
        ("event:order/v1", Status.UNSUBSCRIBED),
    }  # fmt: skip
    assert bench.hops(correlation_id=bench.fared().id, place="flow:main")[0].subject == "T-7"


def test_business_is_counted_as_ever(rig: Rig) -> None:
    """An order beside it reaches the system and the ledger."""
    bench = Bench(rig)
    bench.fire()
    feed(bench.bus, order(1))
    bench.run()
    assert rig.outside("target").numbers() == [1]
    assert (rig.ledger().sent, rig.ledger().done) == (1, 1)
    assert {hop.message_id for hop in bench.hops(place="flow:main")} == {"order-1"}


def test_an_endpoint_may_let_it_pass(rig: Rig) -> None:
    """The other side can tell it by its correlation id."""
    text = (rig.root / "endpoints/target.yaml").read_text()
    rig.write("endpoints/target.yaml", text + "test_messages: pass\n")
    bench = Bench(rig)
    bench.fire()
    bench.run()
    (request,) = rig.outside("target").calls
    assert request.headers["ce-correlationid"].startswith(f"{TEST}main:")
    assert bench.fared().state == "passed"


def test_one_that_fails_says_where_and_waits_for_nobody(rig: Rig) -> None:
    """Nothing is parked, and retention may take its journey."""
    bench = Bench(rig, steps="  - set: {number: $number('x')}\n  - send: target.put")
    bench.fire()
    bench.run()
    found = bench.fared()
    assert found.state == "failed"
    assert "at flow:main: " in found.text
    assert (rig.parked(), rig.ledger().parked) == ([], 0)
    assert {hop.status for hop in bench.hops(tests=True, place="flow:main")} == {Status.DISCARDED}


def test_one_that_does_not_arrive_has_failed_when_its_time_is_up(rig: Rig) -> None:
    """The worker of the endpoint is dead; and a filter before it would show, too."""
    bench = Bench(rig)
    bench.fire()
    bench.now += 29
    assert bench.fared().state == "under way"
    bench.now += 2
    assert bench.fared().text == "not at its end after 30s: it was last seen at test:main"
    filtered = Bench(rig, steps="  - filter: number > 7\n  - send: target.put")
    filtered.fire()
    filtered.run()
    filtered.now += 31
    assert (filtered.fared().state, filtered.fared().text) == ("failed", "did not reach target within 30s")


def test_state_keeps_it_apart(rig: Rig) -> None:
    """The same number was there in business, and in an earlier test message: it is no repeat of either."""
    bench = Bench(rig, steps="  - idempotent: number\n  - send: target.put")
    feed(bench.bus, order(7))
    bench.run()
    for moment in (1e9, 1e9 + 300):
        bench.now = moment
        assert bench.fire(moment)
        bench.run()
        assert bench.fared().state == "passed"
    assert rig.outside("target").numbers() == [7]


def test_a_control_step_does_not_act_on_it(rig: Rig) -> None:
    """Nobody wants a paused endpoint because of a test."""
    bench = Bench(rig, steps="  - control: {pause: {endpoint: target}, why: '\"test\"'}", reaches="")
    bench.fire()
    bench.run()
    assert bench.fared().state == "passed"
    with bench.bus.store.reading() as t:
        assert not t.pauses.all()


def test_a_call_is_answered_as_the_operation_says(rig: Rig) -> None:
    """Without a reply where the contract needs one, the failure names what is missing."""
    text = (rig.root / "endpoints/target.yaml").read_text()
    reply = json.dumps({"type": "object", "required": ["left"]})
    rig.write("contracts/left/v1.json", reply)
    target = text.replace("put: {effect: keyed}", "put: {effect: keyed, reply: left/v1<more>}")
    rig.write("endpoints/target.yaml", target.replace("<more>", ", test_reply: {left: 3}"))
    bench = Bench(rig, steps="  - {call: target.put, as: stock}\n  - filter: stock.left = 3\n  - publish: order/v1")
    bench.fire()
    bench.run()
    assert bench.fared().state == "passed"
    rig.write("endpoints/target.yaml", target.replace("<more>", ""))
    other = Bench(rig, steps="  - {call: target.put, as: stock}\n  - publish: order/v1")
    other.now += 300
    other.fire(other.now)
    other.run()
    assert "target.put has no test_reply" in other.fared().text
