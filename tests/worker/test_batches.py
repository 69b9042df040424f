"""Batches: what waits is sent together where the adapter takes several messages in a call; each fares by itself."""

from __future__ import annotations

from typing import Any

import pytest

from esb.errors import Refused, Unreachable
from esb.ports import Request
from esb.store import Status
from tests.worker.rig import Outside, Point, Rig, Scripted, dies, drive, endpoint_worker, order, send
from tests.worker.test_endpoint_worker import QUEUE, settled, status


@pytest.fixture
def batching(rig: Rig) -> Rig:
    rig.write(
        "endpoints/target.yaml",
        """\
        endpoint: target
        adapter: scripted
        timeout: 2s
        concurrency: 2
        operations:
          put: {effect: keyed, batch: 10}
          shoot: {effect: unkeyed, batch: 5}
          single: {effect: keyed}
        recovery: {retries: 2, delays: [50ms], breaker: {failures: 100, reset: 50ms},
          budget: {least: 1000}}
        """,
    )
    return rig


def test_what_waits_is_sent_together(batching: Rig) -> None:
    """As many as a call takes, in the order in which they waited; each is done, and the journey of each says so."""
    bus = batching.bus()
    send(bus, *map(order, range(40)))
    drive(endpoint_worker(bus), settled(batching, *range(40)), "all are done")
    outside = batching.outside("target")
    assert max(outside.batches) == 10
    assert len(outside.batches) <= 6
    assert sorted(outside.numbers()) == list(range(40))
    assert batching.left(QUEUE) == 0


def test_operations_are_not_mixed(batching: Rig) -> None:
    """Each goes by its own size; what has none goes alone."""
    bus = batching.bus()
    for number in range(30):
        send(bus, order(number), operation=("put", "shoot", "single")[number % 3])
    drive(endpoint_worker(bus), settled(batching, *range(30)), "all are done")
    assert sum(batching.outside("target").batches) <= 20
    assert sorted(batching.outside("target").numbers()) == list(range(30))


def test_each_of_a_batch_fares_by_itself(batching: Rig) -> None:
    """One is refused and parked, one fails and is tried again with the next, the others are done."""
    failed = [1]

    def script(request: Request) -> None:
        number = request.document["number"]
        if number == 3:
            raise Refused("never that one")
        if number == 7 and failed:
            failed.pop()
            raise Unreachable("a hiccup")

    batching.outside("target").script = script
    bus = batching.bus()
    send(bus, *map(order, range(10)))
    drive(endpoint_worker(bus), lambda: status(batching, 7) == Status.COMPLETED, "the one that failed gets through")
    assert status(batching, 3) == Status.PARKED
    assert all(status(batching, n) == Status.COMPLETED for n in range(10) if n != 3)
    calls = [request.document["number"] for request in batching.outside("target").calls]
    assert sorted(calls) == sorted([*range(10), 7])


def test_a_batch_that_reaches_nobody_is_tried_again_together(batching: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The immediate retries are calls of the whole batch, not one for each message."""
    calls: list[int] = []

    def nobody(adapter: Scripted, requests: Any) -> Any:
        calls.append(len(requests))
        if len(calls) <= 2:
            raise Unreachable("no route")
        return Scripted.__mro__[1].send_all(adapter, requests)  # type: ignore[attr-defined]

    monkeypatch.setattr(Scripted, "send_all", nobody)
    bus = batching.bus()
    send(bus, *map(order, range(10)))
    drive(endpoint_worker(bus), settled(batching, *range(10)), "all are done")
    assert calls == [10, 10, 10]


def test_an_adapter_that_forgets_one_of_a_batch_loses_nothing(batching: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's fault: all of them are parked with it, for nobody knows which."""
    monkeypatch.setattr(Scripted, "send_all", lambda adapter, requests: [])
    bus = batching.bus()
    send(bus, *map(order, range(10)))
    drive(endpoint_worker(bus), settled(batching, *range(10), as_=Status.PARKED), "all are parked")
    assert {row.kind for row in batching.parked()} == {"internal"}


@pytest.mark.parametrize(("operation", "effects"), [("put", 10), ("shoot", 10)])
def test_a_kill_leaves_at_most_the_calls_under_way_in_doubt(batching: Rig, operation: str, effects: int) -> None:
    """Keyed: none, and each has one effect. Unkeyed: those that were on record as begun."""
    send(batching.bus(), *map(order, range(10)), operation=operation)
    dies(endpoint_worker(batching.bus(Point("endpoint: sent"))))
    worker = endpoint_worker(batching.bus())
    drive(worker, lambda: all(status(batching, n) >= Status.IN_DOUBT for n in range(10)), "all are settled")
    doubtful = batching.ledger().in_doubt
    assert doubtful == 0 if operation == "put" else 0 < doubtful <= 2 * 5
    outside: Outside = batching.outside("target")
    assert sorted(outside.numbers()) == list(range(effects))


def test_on_probation_one_message_goes(batching: Rig) -> None:
    """Not a batch of them: whoever was down is not buried at once."""
    recovery = "retries: 0, delays: [50ms], breaker: {failures: 1, reset: 50ms}"
    path = batching.root / "endpoints/target.yaml"
    path.write_text(path.read_text().partition("recovery:")[0] + f"recovery: {{{recovery}}}\n")
    bus, outside = batching.bus(), batching.outside("target")
    down, states = [True], []
    worker = endpoint_worker(bus)

    def script(request: Request) -> None:
        states.append((worker._breaker.peek(), len(worker._running)))
        if down:
            raise Unreachable("no route")

    outside.script = script
    send(bus, *map(order, range(40)))
    drive(worker, lambda: worker._breaker.peek() == "open", "it opens")
    states.clear()
    down.clear()
    drive(worker, settled(batching, *range(40)), "all are done")
    assert [running for state, running in states if state == "probing"] == [1]
    assert max(outside.batches) == 10
