"""Flows that wait for answers, from end to end: legs over both brokers, deaths at each boundary, retries, versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from esb.broker.port import CONTEXT, ERROR_KIND, REPLY, Delivery, flow_queue, resume_queue
from esb.bus import Bus
from esb.cases.export import export
from esb.errors import Refused
from esb.message import Message
from esb.ports import Reply, Request
from esb.store import Status, continuations
from esb.worker.endpoint import EndpointWorker
from esb.worker.flow import FlowWorker
from esb.worker.repair import edit
from tests.worker.rig import Point, Rig, dies, drive, feed, order, put, sweep

FLOW = "flow:main"
HERE, BACK = flow_queue("main"), resume_queue("main")
STOCK = {"type": "object", "required": ["left"], "properties": {"left": {"type": "integer"}}}
STEPS = """
  - call: stock.ask
    as: stock
  - send: target.put
"""


def flow_file(rig: Rig, steps: str) -> None:
    rig.write("flows/main.yaml", f"flow: main\nfrom: source\nsteps:{steps}")


def prepared(rig: Rig, steps: str = STEPS) -> Rig:
    rig.write("contracts/stock/v1.json", json.dumps(STOCK))
    rig.write(
        "endpoints/stock.yaml",
        """\
        endpoint: stock
        adapter: scripted
        timeout: 2s
        operations:
          ask: {effect: keyed, reply: stock/v1}
          book: {effect: unkeyed, reply: stock/v1}
        """,
    )
    flow_file(rig, steps)
    rig.outside("stock").script = answers({"left": 7})
    return rig


@pytest.fixture
def calling(rig: Rig) -> Rig:
    return prepared(rig)


def answers(document: Any) -> Callable[[Request], Reply]:
    return lambda request: Reply(detail="200", body=json.dumps(document).encode(), content_type="application/json")


def refuse(request: Request) -> Reply:
    raise Refused("sold out")


# What is done with each of the many parts is in the continuation of the call behind them.
SPLIT_AND_CALL = """
  - split: {each: items, do: [{filter: 'sku != "none"'}, {filter: 'sku != "x"'}]}
  - call: stock.ask
    as: stock
  - send: target.put
"""


class Machine:
    """The workers of one process, driven in turn."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.flow = FlowWorker(bus.context)
        self.endpoints = [EndpointWorker(bus.context, e) for e in bus.definition.endpoints.values() if e.operations]

    def cycle(self) -> None:
        for worker in (self.flow, *self.endpoints):
            worker.cycle()

    def _explain(self, error: BaseException) -> None:
        self.flow._explain(error)

    def _quietly(self, act: Callable[[], Any]) -> None:
        act()

    def recover(self) -> None:
        for worker in (self.flow, *self.endpoints):
            worker.recover()

    def drive(self, condition: Callable[[], object], what: str) -> None:
        drive(self, condition, what)  # type: ignore[arg-type]

    def close(self) -> None:
        for worker in (self.flow, *self.endpoints):
            worker._consumer.close()


def status(rig: Rig, id: str = "order-1", place: str = FLOW) -> int:
    hop = rig.hop(id, place)
    return hop.status if hop else 0


def settled(rig: Rig) -> Callable[[], bool]:
    """The ledger adds up and nothing moves."""
    return lambda: status(rig) >= 20 and rig.ledger().settled and not rig.depth(HERE) and not rig.depth(BACK)


def delivered(rig: Rig) -> list[Any]:
    return [request.document for request in rig.outside("target").sent]


def run(rig: Rig, *messages: Message) -> Machine:
    machine = Machine(rig.bus())
    feed(machine.bus, *messages or (order(1),))
    machine.drive(settled(rig), "all is done")
    return machine


def check_call_and_answer(rig: Rig) -> None:
    run(rig, *(order(number) for number in range(1, 21)))
    assert sorted(document["number"] for document in delivered(rig)) == list(range(1, 21))
    assert all(document["stock"] == {"left": 7} for document in delivered(rig))
    hop = rig.hop("order-1", FLOW)
    assert hop is not None and (hop.status, hop.sent) == (Status.COMPLETED, 2)
    assert json.loads(hop.body or b"null")["number"] == 1
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.parked) == (40, 40, 0)


def test_a_flow_goes_on_with_the_answer(calling: Rig) -> None:
    """Twenty messages, each with its own answer; obligations add up, and the body as it came is kept."""
    check_call_and_answer(calling)


def test_the_same_on_servers(server_rig: Rig) -> None:
    """RabbitMQ and PostgreSQL."""
    check_call_and_answer(prepared(server_rig))


def test_meanwhile_the_message_waits(calling: Rig) -> None:
    """Its journey says so, and the ledger is not settled."""
    machine = Machine(calling.bus())
    feed(machine.bus, order(1))
    drive(machine.flow, lambda: status(calling) == Status.WAITING, "it waits")
    assert not calling.ledger().settled
    assert calling.hop("order-1", FLOW).ended_at is None  # type: ignore[union-attr]


DEATHS = [
    ("flow: published", 1), ("flow: tracked", 1), ("flow: settled", 1),
    ("endpoint: started", 1), ("endpoint: sent", 1), ("endpoint: recorded", 1), ("endpoint: replied", 1),
    ("endpoint: settled", 1), ("flow: published", 2), ("flow: tracked", 2), ("flow: settled", 2),
]  # fmt: skip


@pytest.mark.parametrize("point", DEATHS)
def test_a_death_at_any_boundary_loses_and_doubles_nothing(calling: Rig, point: tuple[str, int]) -> None:
    """Before and after the effect, the commit, the answer, the resumption and each settlement."""
    check_death(calling, point)


@pytest.mark.parametrize("point", [DEATHS[5], DEATHS[6], DEATHS[8], DEATHS[9]])
def test_a_death_on_servers_too(server_rig: Rig, point: tuple[str, int]) -> None:
    """RabbitMQ and PostgreSQL."""
    check_death(prepared(server_rig), point)


def check_death(rig: Rig, point: tuple[str, int]) -> None:
    first = Machine(rig.bus(Point(*point)))
    feed(first.bus, order(1))
    dies(first, rounds=200)  # type: ignore[arg-type]
    first.close()
    if point[0].startswith("endpoint") and point[0] not in ("endpoint: started", "endpoint: sent"):
        rig.outside("stock").script = answers({"left": 8})  # what was answered before must count
    Machine(rig.bus()).drive(settled(rig), "all is done")
    assert [document["stock"] for document in delivered(rig)] == [{"left": 7}]
    assert len(rig.outside("stock").sent) == 1
    assert rig.parked() == []


def stolen(rig: Rig, machine: Machine) -> Delivery:
    """A message has asked, and this is the answer, as it lies in the flow's queue."""
    feed(machine.bus, order(1))
    drive(machine.flow, lambda: status(rig) == Status.WAITING, "asked")
    worker = next(worker for worker in machine.endpoints if worker.name == "endpoint stock")
    drive(worker, lambda: rig.depth(BACK), "answered")
    consumer = machine.bus.broker.consumer([BACK], 1, "thief")
    (copy,) = consumer.take(1, 1)
    consumer.close()
    return copy


def again(machine: Machine, copy: Delivery) -> None:
    """The same answer once more."""
    put(machine.bus, BACK, copy.message, **copy.properties)


def test_an_answer_that_comes_twice_has_one_effect(calling: Rig) -> None:
    """The message goes on twice, with the same ids; the inbox removes the copies."""
    machine = Machine(calling.bus())
    copy = stolen(calling, machine)
    again(machine, copy)
    machine.drive(settled(calling), "done")
    again(machine, copy)
    machine.drive(lambda: calling.left(BACK) == 0 and settled(calling)(), "the copy is taken")
    assert len(calling.outside("target").sent) == 1
    assert calling.hop("order-1", FLOW).sent == 2  # type: ignore[union-attr]


def test_a_refused_call_parks_its_message_at_the_step_and_a_retry_asks_again(calling: Rig) -> None:
    """Under the same key; the ledger shows who waits for a person, and then that all went well."""
    calling.outside("stock").script = refuse
    machine = run(calling)
    (row,) = calling.parked()
    assert (row.place, row.step, row.kind, row.key[0]) == (FLOW, "call:stock.ask", "refused", "order-1")
    assert "sold out" in row.error
    assert json.loads(row.message.body)["number"] == 1
    ledger = calling.ledger()
    assert (ledger.rejected, status(calling)) == (1, Status.PARKED)
    calling.outside("stock").script = answers({"left": 7})
    calling.retry()
    machine.drive(lambda: status(calling) == Status.COMPLETED and settled(calling)(), "the retry went through")
    assert delivered(calling)[0]["stock"] == {"left": 7}
    assert len({request.key for request in calling.outside("stock").calls}) == 1
    assert calling.parked_state(row) == "resolved"
    ledger = calling.ledger()
    assert (ledger.sent, ledger.done, ledger.rejected) == (2, 2, 0)


def test_a_second_refusal_parks_it_again(calling: Rig) -> None:
    """And a third try may go through."""
    calling.outside("stock").script = refuse
    machine = run(calling)
    for _ in range(2):
        calling.retry()
        machine.drive(lambda: calling.parked() and settled(calling)(), "parked again")
    assert len(calling.outside("stock").calls) == 3
    calling.outside("stock").script = answers({"left": 7})
    calling.retry()
    machine.drive(lambda: status(calling) == Status.COMPLETED and settled(calling)(), "through")


def test_what_fails_behind_the_call_is_mended_and_goes_on_there(calling: Rig) -> None:
    """The call is not made again, its answer is in the parked document, and the mended flow is the one that runs."""
    flow_file(calling, "\n  - {call: stock.ask, as: stock}\n  - filter: stock.left\n  - send: target.put\n")
    run(calling).close()
    (row,) = calling.parked()
    assert (row.step, json.loads(row.message.body)["stock"]) == ("filter", {"left": 7})
    flow_file(calling, "\n  - {call: stock.ask, as: stock}\n  - filter: stock.left > 3\n  - send: target.put\n")
    machine = Machine(calling.bus())
    calling.retry()
    machine.drive(lambda: status(calling) == Status.COMPLETED and settled(calling)(), "through")
    assert len(calling.outside("stock").calls) == 1
    assert delivered(calling)[0]["stock"] == {"left": 7}


def test_on_error_decides_instead_of_a_person(calling: Rig) -> None:
    """The message goes on with what the flow says of the failure."""
    calling.outside("stock").script = refuse
    steps = """
  - call: stock.ask
    as: stock
    on_error: {set: {stock: {left: {const: 0}, why: $error.kind}}}
  - send: target.put
"""
    flow_file(calling, steps)
    run(calling)
    assert delivered(calling)[0]["stock"] == {"left": 0, "why": "refused"}
    assert calling.parked() == []


def test_an_answer_that_breaks_its_contract_fails_the_call(calling: Rig) -> None:
    """It is parked in front of a person, with what is wrong."""
    calling.outside("stock").script = answers({"left": "many"})
    run(calling)
    (row,) = calling.parked()
    assert (row.kind, row.step) == ("contract", "call:stock.ask")


def test_parts_of_a_split_wait_and_go_on_by_themselves(calling: Rig) -> None:
    """One of them is refused and waits for a person; the others are through."""
    steps = """
  - split:
      each: items
      do:
        - {call: stock.ask, as: stock}
        - {send: {to: target.put, map: {set: {number: $number(sku), stock: stock}}}}
"""
    flow_file(calling, steps)
    calling.outside("stock").script = lambda r: refuse(r) if r.document["sku"] == "2" else answers({"left": 7})(r)
    machine = run(calling, order(1, items=[{"sku": "1"}, {"sku": "2"}, {"sku": "3"}]))
    assert sorted(document["number"] for document in delivered(calling)) == [1, 3]
    (row,) = calling.parked()
    assert (row.step, json.loads(row.message.body)["sku"]) == ("call:stock.ask", "2")
    ledger = calling.ledger()
    assert (ledger.sent, ledger.done, ledger.rejected) == (5, 4, 1)
    calling.outside("stock").script = answers({"left": 7})
    calling.retry()
    machine.drive(lambda: len(delivered(calling)) == 3 and settled(calling)(), "the third is through")
    ledger = calling.ledger()
    assert (ledger.sent, ledger.done) == (6, 6)


def test_a_large_document_waits_in_the_store(calling: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request carries a reference; when that is forgotten, the answer is set aside and says so."""
    monkeypatch.setattr(continuations, "INLINE", 100)
    run(calling)
    assert delivered(calling)[0]["stock"] == {"left": 7}
    put(calling.last, BACK, order(2), **{CONTEXT: "store:gone", REPLY: "done"})
    Machine(calling.last).drive(calling.parked, "set aside")
    (row,) = calling.parked()
    assert "not known (any more)" in row.error


def test_a_long_way_that_is_parked_and_retried_fits_into_a_frame(server_rig: Rig) -> None:
    """Each step of each part is in its continuation. Parked, it waits for as long as it has to."""
    calling = prepared(server_rig, SPLIT_AND_CALL)
    calling.outside("stock").script = refuse
    machine = run(calling, order(1, items=[{"sku": str(n)} for n in range(600)]))
    (row,) = calling.parked()
    assert len(row.properties[CONTEXT]) > 128 * 1024
    calling.outside("stock").script = answers({"left": 7})
    calling.retry()
    machine.drive(lambda: status(calling) == Status.COMPLETED and settled(calling)(), "the retry went through")
    assert [document["number"] for document in delivered(calling)] == [1]


def test_an_answer_that_the_broker_does_not_take_holds_up_no_other(narrow_rig: Rig) -> None:
    """It is parked on its way to the flow; those that were to go out with it arrive."""
    calling = prepared(narrow_rig)
    large = {"left": 7, "why": "x" * 120_000}
    calling.outside("stock").script = lambda request: answers(
        large if request.document["number"] == 2 else {"left": 7}
    )(request)
    machine = Machine(calling.bus())
    feed(machine.bus, order(1), order(2), order(3))

    def through() -> bool:
        sweep(machine.bus)
        return bool(calling.parked()) and all(status(calling, f"order-{n}") == Status.COMPLETED for n in (1, 3))

    machine.drive(through, "one is parked, the others are through")
    (row,) = calling.parked()
    assert (row.place, row.queue) == (FLOW, BACK)
    assert len(calling.outside("stock").sent) == 3


def test_an_answer_finds_the_version_that_its_message_set_out_in(calling: Rig) -> None:
    """The flow was changed while it waited: behind its call stands what stood there."""
    bus = calling.bus()
    feed(bus, order(1))
    machine = Machine(bus)
    drive(machine.flow, lambda: status(calling) == Status.WAITING, "it waits")
    machine.close()
    flow_file(calling, "\n  - {call: stock.ask, name: other, as: stock}\n  - filter: 'false'\n")
    Machine(calling.bus()).drive(settled(calling), "done")
    assert delivered(calling)[0]["stock"] == {"left": 7}


def test_a_version_that_is_gone_leaves_the_one_in_force(calling: Rig) -> None:
    """Where it has the step; else the message is set aside with the reason."""
    bus = calling.bus()
    feed(bus, order(1))
    machine = Machine(bus)
    drive(machine.flow, lambda: status(calling) == Status.WAITING, "it waits")
    machine.close()
    flow_file(calling, "\n  - {call: stock.ask, name: other, as: stock}\n  - send: target.put\n")
    later = calling.bus()
    with later.store.transaction() as t:
        t.connection.run("DELETE FROM definitions WHERE hash = ?", (bus.definition.hash,))
    Machine(later).drive(calling.parked, "set aside")
    (row,) = calling.parked()
    assert "no longer in the flow" in row.error


def test_a_call_that_is_too_late_is_not_made(calling: Rig) -> None:
    """`timeout:` counts from the request; the failure is of the kind deadline."""
    flow_file(calling, "\n  - {call: stock.ask, as: stock, timeout: 10s}\n  - send: target.put\n")
    bus = calling.bus(clock=lambda: 1000.0)
    feed(bus, order(1))
    machine = Machine(bus)
    drive(machine.flow, lambda: status(calling) == Status.WAITING, "it waits")
    machine.close()
    Machine(calling.bus(clock=lambda: 1011.0)).drive(calling.parked, "set aside")
    (row,) = calling.parked()
    assert row.kind == "deadline"
    assert calling.outside("stock").calls == []


def test_a_copy_of_an_old_failure_parks_nothing(calling: Rig) -> None:
    """Its message has come to its end meanwhile."""
    calling.outside("stock").script = refuse
    machine = Machine(calling.bus())
    copy = stolen(calling, machine)
    machine.drive(calling.parked, "parked")
    calling.outside("stock").script = answers({"left": 7})
    calling.retry()
    machine.drive(lambda: status(calling) == Status.COMPLETED and settled(calling)(), "through")
    again(machine, copy)
    machine.drive(lambda: calling.left(BACK) == 0, "the copy is taken")
    assert copy.properties[ERROR_KIND] == "refused"
    assert calling.parked() == []


def test_what_is_parked_behind_a_call_is_kept_as_a_case_of_what_came_in(calling: Rig) -> None:
    """The case is given the document that arrived, not the one with the answer in it."""
    flow_file(calling, "\n  - {call: stock.ask, as: stock}\n  - filter: stock.left\n  - send: target.put\n")
    machine = run(calling)
    (row,) = calling.parked()
    with machine.bus.store.reading() as t:
        found = export(t, machine.bus.definition, machine.bus.parts, row)
    assert found.file == "flows/main.test.yaml"
    assert yaml.safe_load(found.text)["cases"][0]["given"]["document"] == {"number": 1, "key": "no-1"}


def test_what_an_answer_hides_stays_hidden_in_the_document_that_keeps_it(calling: Rig) -> None:
    """Parked behind the call, shown and edited: the value is nowhere to be read, and goes on all the same."""
    masked = {**STOCK, "properties": {"left": {}}, "x-mask": ["left"]}
    calling.write("contracts/stock/v1.json", json.dumps(masked))
    flow_file(calling, STEPS.replace("  - send", "  - filter: stock.left\n  - send"))
    calling.outside("stock").script = answers({"left": "shelf-4711"})
    machine = run(calling)
    (parked,) = calling.parked()
    assert json.loads(parked.message.body)["stock"] == {"left": "***"}
    assert "shelf-4711" not in parked.error
    with machine.bus.store.reading() as t:
        hops = t.tracking.journey("order-1")
    assert not any(b"shelf-4711" in (hop.body or b"") for hop in hops)
    shown = edit(machine.bus.store, machine.bus.parts, parked.key, parked.message.body, "eve", "")
    assert b"shelf-4711" not in shown.body
    with machine.bus.store.reading() as t:
        original = t.parked.original(parked.key)
    assert original is not None and json.loads(original.body)["stock"] == {"left": "shelf-4711"}
