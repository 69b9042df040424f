"""A queue is purged: what waits in it goes nowhere, and every message is accounted for."""

from __future__ import annotations

import pytest

from esb.broker.port import endpoint_queue, flow_queue
from esb.bus import Bus
from esb.store import Status
from esb.worker.purge import Channel, Reason, purge
from tests.worker.rig import Rig, feed, flow_worker, order, send, sweep
from tests.worker.test_calls import FLOW, Machine, flow_file, prepared, settled, status

WHY = Reason("eve", "test orders")
MAIN = flow_queue("main")


def purged(bus: Bus, channel: Channel, reason: Reason = WHY) -> int:
    return purge(bus.broker, bus.store, bus.context.journal(), channel, reason, bus.context.clock)


@pytest.mark.parametrize("kind", ["embedded_rig", "server_rig"])
def test_what_waits_for_a_flow_is_discarded_with_its_reason(kind: str, request: pytest.FixtureRequest) -> None:
    """Queue, journey, failed messages and audit tell the same, and a purge of nothing is none."""
    rig: Rig = request.getfixturevalue(kind)
    bus = rig.bus()
    feed(bus, *(order(number) for number in range(250)))
    assert purged(bus, Channel.of_flow("main")) == 250
    assert rig.depth(MAIN) == 0
    hop = rig.hop("order-7", "flow:main")
    assert hop is not None
    assert (hop.status, hop.error_kind, hop.error) == (
        Status.DISCARDED, "purged", "taken out of its queue by eve: test orders"
    )  # fmt: skip
    with bus.store.reading() as t:
        rows, acts = t.parked.list(status="discarded", limit=1000), t.audit.list(limit=1000)
    assert {(row.kind, row.message.body) for row in rows} == {("purged", order(n).body) for n in range(250)}
    assert [(acts[0].act, acts[0].target, acts[0].reason, acts[0].detail)] == [
        ("purge", "flow:main", "test orders", "250 messages")
    ]
    assert sum(entry.act == "discard" for entry in acts) == 250
    assert purged(bus, Channel.of_flow("main")) == 0


def test_what_is_kept_can_be_retried(rig: Rig) -> None:
    """It waits for a person, who sends it on, and then it goes its way."""
    bus = rig.bus()
    feed(bus, order(1))
    assert purged(bus, Channel.of_flow("main"), Reason("eve", "later", keep=True)) == 1
    assert [(row.kind, row.place) for row in rig.parked()] == [("purged", "flow:main")]
    rig.retry()
    worker = flow_worker(bus)
    worker.cycle()
    worker.finish()
    hop = rig.hop("order-1", "flow:main")
    assert hop is not None
    assert (hop.status, rig.depth(endpoint_queue("target")), rig.parked()) == (Status.COMPLETED, 1, [])


def test_whoever_dies_before_it_is_settled_leaves_it_in_the_queue(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next purge takes it again, and there is one row of it."""
    bus = rig.bus()
    send(bus, order(1), order(2))
    real = bus.broker.consumer

    class Dying:
        def __init__(self, *arguments: object) -> None:
            self._inner = real(*arguments)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def settle(self, deliveries: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(bus.broker, "consumer", Dying)
    with pytest.raises(KeyboardInterrupt):
        purged(bus, Channel.of_endpoint("target"))
    monkeypatch.undo()
    assert rig.depth(endpoint_queue("target")) == 2
    assert purged(bus, Channel.of_endpoint("target")) == 2
    with bus.store.reading() as t:
        assert [row.status for row in t.parked.list(status=None)] == ["discarded", "discarded"]
    assert rig.ledger().out_discarded == 2


def test_a_flow_that_waits_for_an_answer_is_told_that_there_is_none(rig: Rig) -> None:
    """Its message is parked at the call, as after any failed one."""
    prepared(rig)
    flow_file(rig, "\n  - {call: stock.book, as: stock}\n  - send: target.put\n")
    bus = rig.bus()
    feed(bus, order(1))
    worker = flow_worker(bus)
    worker.cycle()
    worker.finish()
    assert purged(bus, Channel.of_endpoint("stock")) == 1
    sweep(bus)
    Machine(bus).drive(lambda: status(rig) == Status.PARKED and settled(rig)(), "the flow heard of it")
    (row,) = rig.parked()
    assert (row.place, row.step, row.kind) == (FLOW, "call:stock.book", "purged")
    assert rig.outside("stock").calls == []
