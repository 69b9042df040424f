"""A person looked and knows how a command ended: nothing is sent, and whoever asked is answered."""

from __future__ import annotations

import json

import pytest

from esb.broker.port import endpoint_queue
from esb.bus import Bus
from esb.errors import Refused
from esb.ports import Reply
from esb.store import Parked, Status
from esb.worker import repair, settle
from esb.worker.endpoint import EndpointWorker
from esb.worker.replies import Replies, stored_failure
from tests.worker.rig import Dies, Point, Rig, feed, order, send, sweep
from tests.worker.test_calls import FLOW, Machine, delivered, flow_file, prepared, settled, status


@pytest.fixture
def doubtful(rig: Rig) -> Rig:
    """A flow waits for an unkeyed call that is in doubt."""
    prepared(rig)
    flow_file(rig, "\n  - {call: stock.book, as: stock}\n  - send: target.put\n")
    first = Machine(rig.bus(Point("endpoint: sent")))
    feed(first.bus, order(1))
    with pytest.raises(Dies):
        while True:
            first.cycle()
    first.close()
    Machine(rig.bus()).drive(rig.parked, "in doubt")
    return rig


def replies(bus: Bus, name: str = "stock") -> Replies:
    return Replies(bus.definition.endpoints[name], bus.formats[name], bus.parts.contracts)


def answer(document: object) -> Reply:
    return Reply(body=json.dumps(document).encode(), content_type="application/json")


def goes_on(rig: Rig) -> None:
    sweep(rig.last)
    Machine(rig.last).drive(settled(rig), "the flow went on")


def row(rig: Rig) -> Parked:
    (found,) = rig.parked()
    return found


def test_done_gives_the_flow_its_answer(doubtful: Rig) -> None:
    """Nothing is sent a second time; the ledger adds up and the audit says who."""
    parked, calls = row(doubtful), len(doubtful.outside("stock").calls)
    with doubtful.last.store.transaction() as t:
        settle.done(t, replies(doubtful.last), parked, answer({"left": 5}), "eve", "asked by phone")
    goes_on(doubtful)
    assert delivered(doubtful)[0]["stock"] == {"left": 5}
    assert len(doubtful.outside("stock").calls) == calls
    ledger = doubtful.ledger()
    assert (ledger.sent, ledger.done, ledger.in_doubt, ledger.settled) == (2, 2, 0, True)
    assert doubtful.parked_state(parked) == "resolved"
    with doubtful.last.store.reading() as t:
        (entry,) = t.audit.list()
    assert (entry.who, entry.act, entry.reason) == ("eve", "settle as done", "asked by phone")


def test_failed_fails_the_call(doubtful: Rig) -> None:
    """The flow's message is parked at its step, and its retry asks again."""
    with doubtful.last.store.transaction() as t:
        settle.failed(t, replies(doubtful.last), row(doubtful), "eve", "it never arrived")
    goes_on(doubtful)
    parked = row(doubtful)
    assert (parked.place, parked.step) == (FLOW, "call:stock.book")
    assert "it never arrived" in parked.error
    doubtful.retry()
    Machine(doubtful.last).drive(lambda: status(doubtful) == Status.COMPLETED and settled(doubtful)(), "through")
    assert doubtful.ledger().rejected == 0


def test_what_is_discarded_fails_the_call(doubtful: Rig) -> None:
    """A call whose command was given up does not wait for ever: the flow's message is parked at its step."""
    parked = row(doubtful)
    assert repair.act_on(doubtful.last.store, "discard", [parked.key], "eve", "test data").count == 1
    with doubtful.last.store.reading() as t:
        (entry,) = t.inbox.seen("stock", [(parked.operation, parked.key[0])]).values()
    assert stored_failure(entry.reply)[0].effect_unknown  # nobody said that it did not take place
    goes_on(doubtful)
    waiting = row(doubtful)
    assert (waiting.place, waiting.step) == (FLOW, "call:stock.book")
    assert "test data" in waiting.error
    assert doubtful.parked_state(parked) == "discarded"


def test_an_answer_that_breaks_its_contract_changes_nothing(doubtful: Rig) -> None:
    """It stays parked."""
    with pytest.raises(settle.NotSettled, match="cannot be used"), doubtful.last.store.transaction() as t:
        settle.done(t, replies(doubtful.last), row(doubtful), answer({}), "eve", "")
    assert row(doubtful).kind == "in doubt"


def test_of_two_people_one_decides(doubtful: Rig) -> None:
    """The second is told so."""
    parked = row(doubtful)
    with doubtful.last.store.transaction() as t:
        settle.done(t, replies(doubtful.last), parked, answer({"left": 5}), "eve", "")
    with pytest.raises(settle.NotSettled, match="any more"), doubtful.last.store.transaction() as t:
        settle.failed(t, replies(doubtful.last), parked, "adam", "")


def test_what_nobody_asked_for_can_be_settled_as_done(rig: Rig) -> None:
    """A plain send that was refused, and was booked by hand; as failed it is to be discarded."""

    def refuse(request: object) -> None:
        raise Refused("no")

    rig.outside("target").script = refuse
    bus = rig.bus()
    send(bus, order(1))
    worker = EndpointWorker(bus.context, bus.definition.endpoints["target"])
    while not rig.parked():
        worker.cycle()
    with pytest.raises(settle.NotSettled, match="discard"), bus.store.transaction() as t:
        settle.failed(t, replies(bus, "target"), row(rig), "eve", "")
    with bus.store.transaction() as t:
        settle.done(t, replies(bus, "target"), row(rig), Reply(), "eve", "by hand")
    assert status(rig, "order-1", "out:target") == Status.COMPLETED
    assert rig.depth(endpoint_queue("target")) == 0
