"""Journeys computed again: what was before and after each step, with the definition that was in force."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

from esb.flow.recording import Recorder
from esb.ports import Reply
from esb.store import Status
from esb.worker.differences import changes, lines
from esb.worker.recompute import Recomputer
from tests.worker.rig import ORDER, Rig, drive, endpoint_worker, feed, flow_worker, order

FLOW = """\
    flow: main
    from: source
    steps:
      - set: {region: {const: EU}}
      - choose:
          - {when: number > 1, do: [{set: {big: {const: true}}}]}
          - {otherwise: [{set: {big: {const: false}}}]}
      - split: items
      - map: {set: {code: sku}}
      - send: target.put
    """


TARGET = """\
    endpoint: target
    adapter: scripted
    operations:
      put: {effect: keyed}
      ask: {effect: keyed, reply: price/v1}
    """
CALLING = """\
    flow: main
    from: source
    steps:
      - call: {to: target.ask, as: answer}
      - set: {total: answer.price * number}
    """


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A bus whose flow has a choice and parts."""
    rig.write("flows/main.yaml", FLOW)
    return rig


def through(rig: Rig, **more):
    """An order through the flow, and what is computed again of it by a process of its own."""
    bus = rig.bus()
    feed(bus, order(2, **{"items": [{"sku": "A"}, {"sku": "B"}], **more}))
    drive(flow_worker(bus), lambda: rig.hop("order-2", "flow:main"), "the flow is through")
    return rig.hop("order-2", "flow:main")


def again(rig: Rig):
    """Somebody who looks later."""
    return Recomputer(rig.last.context, rig.last.parts)


def words(found):
    """Of each step what it changed."""
    return [(view.trace.step, {change.path: change.after for change in view.changes}) for view in found.steps]


def test_each_step_has_its_documents(rig: Rig):
    """Inner steps and parts, too; a step that changes nothing says so by having no change."""
    hop = through(rig)
    found = again(rig).steps(hop)
    assert found.why == ""
    assert all(view.known for view in found.steps)
    first, *_ = found.steps
    assert (first.before["number"], "region" in first.before, first.after["region"]) == (2, False, "EU")
    assert ("big", "true") in [pair for _, changed in words(found) for pair in changed.items()]
    assert [view.after for view in found.steps if view.trace.kind == "map"] == [{"code": "A"}, {"code": "B"}]
    assert [view.changes for view in found.steps if view.trace.kind in ("send", "split")] == [[], [], []]


def test_a_changed_definition_does_not_change_what_was(rig: Rig):
    """The one that was in force is in the store, and is used."""
    hop = through(rig)
    rig.write("flows/main.yaml", FLOW.replace("const: EU", "const: US"))
    rig.bus()
    assert again(rig).steps(hop).steps[0].after["region"] == "EU"


def test_a_message_that_failed_shows_how_far_it_came(rig: Rig):
    """The step that failed is there, with what it was given."""
    rig.write("flows/main.yaml", FLOW.replace("number > 1", "number"))
    hop = through(rig)
    assert hop.status == Status.PARKED
    found = again(rig).steps(hop)
    assert [(view.trace.step, view.failed) for view in found.steps] == [("set", False), ("choose", True)]
    assert found.steps[-1].before["region"] == "EU"


@pytest.mark.parametrize("level", ["headers", "errors"])
def test_where_no_document_is_stored_it_says_so(rig: Rig, level):
    """And shows what the flow noted, as far as it did."""
    rig.write("esb.yaml", f"bus: rig\nbroker: embedded\njourney: {level}\n")
    hop = through(rig)
    found = again(rig).steps(hop)
    assert "journey: full" in found.why
    assert [view.known for view in found.steps] == [False] * len(found.steps)
    assert found.steps


def test_what_is_masked_stays_masked(rig: Rig):
    """The steps are computed from what may be seen; a contract that *** would break does not stand in the way."""
    hidden = {"type": "integer", "minimum": 1}
    rig.write(
        "contracts/order/v1.json",
        json.dumps({**ORDER, "x-mask": ["pin"], "properties": {**ORDER["properties"], "pin": hidden}}),
    )
    hop = through(rig, pin=4711)
    found = again(rig).steps(hop)
    assert found.steps[0].after["pin"] == "***"
    assert "4711" not in repr(found)
    assert "read ***" in found.why


def test_a_definition_that_is_gone_is_said(rig: Rig):
    """The steps are listed without their documents."""
    hop = through(rig)
    rig.write("flows/main.yaml", FLOW.replace("const: EU", "const: US"))
    rig.bus()  # what runs now is another
    with rig.last.store.transaction() as t:
        t.connection.run("DELETE FROM definitions WHERE NOT active")
    found = again(rig).steps(hop)
    assert "not stored any more" in found.why


def test_leaves_are_compared():
    """Added, removed, changed; 1 and true differ, and an empty list is a leaf."""
    before = {"a": 1, "b": {"c": [1, {"d": "x"}]}, "e": [], "same": None}
    after = {"a": True, "b": {"c": [1]}, "e": [2], "same": None}
    assert [(change.path, change.sort, change.before, change.after) for change in changes(before, after)] == [
        ("a", "changed", "1", "true"),
        ("b.c[1].d", "removed", '"x"', ""),
        ("e", "removed", "[]", ""),
        ("e[0]", "added", "", "2"),
    ]
    assert changes({"a": [1]}, {"a": [1]}) == []


def test_a_document_is_lines_with_marks():
    """As JSON is written, so that it can be copied."""
    found = lines({"a": 1, "b": [{"c": "<x>"}, {}]}, {"b[0].c": "changed"})
    assert json.loads("\n".join(line.text for line in found)) == {"a": 1, "b": [{"c": "<x>"}, {}]}
    assert [line.text for line in found if line.sort] == ['"c": "<x>"']


def called(rig: Rig, reply):
    """An order that asked for a price and was answered; a process that looks at it later."""
    rig.write(
        "contracts/price/v1.json",
        json.dumps({"type": "object", "x-mask": ["cost"], "properties": {"cost": {}, "price": {}}}),
    )
    rig.write("endpoints/target.yaml", TARGET)
    rig.write("flows/main.yaml", CALLING)
    rig.outside("target").script = lambda request: reply
    bus = rig.bus()
    feed(bus, order(2))
    flows, endpoint = flow_worker(bus), endpoint_worker(bus)

    def ended():
        endpoint.cycle()
        hop = rig.hop("order-2", "flow:main")
        return hop is not None and hop.status in (Status.COMPLETED, Status.PARKED)

    drive(flows, ended, "the order is through")
    return again(rig).steps(rig.hop("order-2", "flow:main"))


def test_a_call_is_gone_on_from_with_the_answer_that_came(rig: Rig):
    """What was asked, what the answer put into the document, and the steps behind it; what it hides is hidden."""
    found = called(rig, Reply(body=b'{"price": 5, "cost": 4711}', content_type="application/json"))
    assert [(view.trace.step, view.trace.outcome, view.known) for view in found.steps] == [
        ("call:target.ask", "asked target.ask", True),
        ("call:target.ask", "answered", True),
        ("set", "total", True),
    ]
    assert [change.path for change in found.steps[1].changes] == ["answer.price", "answer.cost"]
    assert found.steps[1].after["answer"] == {"price": 5, "cost": "***"}
    assert found.steps[2].after["total"] == 10


def test_an_answer_that_is_gone_ends_what_can_be_computed(rig: Rig):
    """The steps behind it are listed without their documents."""
    called(rig, Reply(body=b'{"price": 5}', content_type="application/json"))
    with rig.last.store.transaction() as t:
        t.connection.run("DELETE FROM inbox")
    found = again(rig).steps(rig.hop("order-2", "flow:main"))
    assert [view.known for view in found.steps] == [True, False, False]


def test_what_was_compiled_goes_at_once(rig: Rig):
    """Expressions may be dropped on their own thread only, so nothing is left for the collector to find elsewhere."""
    hop = through(rig)
    kept, parts = again(rig), rig.last.parts
    gc.collect()
    gc.disable()
    try:
        recorder = Recorder("main", rig.last.definition, parts)
        recorder.run(order(2, items=[{"sku": "A"}]))
        gone = weakref.ref(next(iter(recorder.flow._parts.values())))
        del recorder
        assert gone() is None
        assert kept.steps(hop).why == ""
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("step", "document"),
    [
        ("resequence: {number: number}", {"number": 1}),
        ("idempotent: number", {"number": 1}),
        ("throttle: {messages: 5, per: 1s}", {"number": 1}),
    ],
)
def test_steps_behind_one_at_which_it_waited(rig: Rig, step: str, document: dict) -> None:
    """It went on as it came, so what followed is known, too."""
    found = waited(rig, step, "order-1", order(1))
    assert [(view.trace.step, view.after) for view in found.steps if view.trace.kind == "set"] == [
        ("set", {"number": 1, "key": "no-1", "twice": 2})
    ]


def test_steps_behind_one_that_made_one_message_of_several(rig: Rig) -> None:
    """The one that goes on begins with what the step made of them."""
    rig.write(
        "flows/main.yaml", WAITING.format(step="aggregate: {by: '\"all\"', size: 2}", value="'members[0].number * 2'")
    )
    bus = rig.bus()
    feed(bus, order(1), order(2))
    worker = flow_worker(bus)
    drive(worker, lambda: len(ends(rig)) == 3, "the group went on")
    worker.finish()
    (merged,) = [hop for hop in ends(rig) if hop.message_id not in ("order-1", "order-2")]
    found = again(rig).steps(rig.hop(merged.message_id, "flow:main"))
    (made,) = [view.after for view in found.steps if view.trace.kind == "set"]
    assert (made["twice"], made["size"], found.why) == (2, 2, "")


WAITING = """\
    flow: main
    from: source
    steps:
      - {step}
      - set: {{twice: {value}}}
    """


def waited(rig: Rig, step: str, id: str, *messages):
    """What is computed again of a message that waited at a step."""
    rig.write("flows/main.yaml", WAITING.format(step=step, value="number * 2"))
    bus = rig.bus()
    feed(bus, *messages)
    worker = flow_worker(bus)
    drive(worker, lambda: any(hop.message_id == id for hop in ends(rig)), "it is through")
    worker.finish()
    return again(rig).steps(rig.hop(id, "flow:main"))


def ends(rig: Rig):
    """Hops of the flow that have ended."""
    with rig.last.store.reading() as t:
        return [hop for hop in t.tracking.find(place="flow:main") if hop.status >= 30]
