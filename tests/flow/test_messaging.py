"""Letting messages out: ``send``, ``publish``, ``wiretap``."""

from __future__ import annotations

import json

import msgspec
import pytest


def documents(sent) -> list:
    return [json.loads(one.message.body) for one in sent]


def test_send_takes_the_document_as_it_is_and_leaves_it_in_force(bench):
    """Two sends in a row send the same."""
    result = bench.run("- send: warehouse.note\n- send: search.index")
    assert result.status == "completed"
    assert [(s.endpoint, s.operation) for s in result.sends] == [("warehouse", "note"), ("search", "index")]
    assert documents(result.sends) == [bench_sale(), bench_sale()]


def bench_sale() -> dict:
    return {"ticket": "4711", "country": "GB", "items": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}]}


def test_an_endpoint_with_one_operation_is_named_alone(bench):
    """`send: search` can only mean its index."""
    result = bench.run("- send: search")
    assert (result.sends[0].endpoint, result.sends[0].operation) == ("search", "index")


def test_a_recipient_list_maps_for_each(bench):
    """Each recipient gets the document in its own shape; what is in force does not change."""
    result = bench.run("- send: [search, {to: warehouse.order, map: to-warehouse}, warehouse.note]")
    assert documents(result.sends) == [bench_sale(), {"id": "4711", "land": "Britain"}, bench_sale()]


def test_the_order_of_recipients_does_not_enter_their_ids(bench):
    """Putting one in front must not make the others look new to an inbox."""
    few = bench.run("- send: [search, warehouse.note]")
    more = bench.run("- send: [{to: warehouse.order, map: to-warehouse}, warehouse.note, search]")
    ids = {send.endpoint + send.operation: send.message.id for send in more.sends}
    assert [ids["searchindex"], ids["warehousenote"]] == [send.message.id for send in few.sends]
    assert len(set(ids.values())) == 3


def test_the_same_recipient_twice_gets_two_messages(bench):
    """In one list or in two steps, no two ids are alike."""
    result = bench.run("- send: [search, search]\n- send: search\n- send: search.index\n- send: search")
    assert len({send.message.id for send in result.sends}) == 5


def test_what_is_sent_meets_the_contract_of_the_operation(bench):
    """A document that the endpoint would not take fails here, and names the step and the contract."""
    result = bench.run("- send: warehouse.order")
    assert (result.status, result.step, result.error.kind) == ("failed", "send:warehouse.order", "contract")
    assert "flow sales, step send:warehouse.order (flows/sales.yaml:4)" in str(result.error)
    assert "warehouse.order/v1" in str(result.error)


def test_a_child_goes_by_the_contract_it_goes_out_under(bench):
    """With a contract its type and version; else the type in force."""
    result = bench.run(
        "- map: to-order\n- send: [{to: warehouse.order, map: to-warehouse}, search]\n- publish: order/v1"
    )
    assert [send.message.contract for send in result.sends] == ["warehouse.order/v1", "order/v1"]
    assert result.events[0].message.contract == "order/v1"


def test_a_child_inherits_what_belongs_to_the_journey(bench, message):
    """Correlation, trace, time, epoch and headers go on; cause is the parent; the span is new."""
    parent = message(headers={"store": "7"}, correlation_id="c", epoch=2)
    child = bench.flow("- send: search").run(parent).sends[0].message
    assert (child.correlation_id, child.causation_id) == ("c", parent.id)
    assert (child.time, child.epoch, child.headers, child.subject) == (parent.time, 2, {"store": "7"}, "4711")
    assert child.traceparent[:36] == parent.traceparent[:36]
    assert child.traceparent[36:52] == child.id.replace("-", "")[-16:] != parent.traceparent[36:52]
    assert child.content_type == "application/json"


def test_the_subject_comes_from_the_contract_where_it_names_one(bench):
    """order/v1 says its key is the order's id; warehouse.order/v1 says nothing."""
    result = bench.run("- map: to-order\n- send: {to: warehouse.order, map: to-warehouse}\n- publish: order/v1")
    assert result.events[0].message.subject == "SO-4711"
    assert result.sends[0].message.subject == "4711"


def test_publish_may_map(bench):
    """`{event, map}` publishes another shape and leaves the document."""
    result = bench.run("- publish: {event: order/v1, map: to-order}\n- send: search")
    assert documents(result.events) == [{"orderId": "SO-4711", "country": "GB"}]
    assert documents(result.sends) == [bench_sale()]


def test_what_is_published_meets_the_contract_of_the_event(bench):
    """An event is a promise to people one does not know."""
    result = bench.run("- publish: order/v1")
    assert (result.status, result.error.kind) == ("failed", "contract")


def test_a_repeat_gives_the_same_messages(bench, message):
    """Byte for byte, also from a flow compiled anew: that is what makes redelivery harmless."""
    steps = "- map: to-order\n- send: [search, warehouse.note]\n- publish: order/v1\n- wiretap: search"
    once, again = bench.run(steps), bench.run(steps)
    assert msgspec.json.encode([once.sends, once.events]) == msgspec.json.encode([again.sends, again.events])


def test_a_step_put_in_front_changes_no_id(bench):
    """Messages under way keep their identity when the flow grows."""
    before = bench.run("- send: search\n- publish: {event: order/v1, map: to-order}")
    after = bench.run(
        "- set: {x: 1}\n- wiretap: warehouse.note\n- send: search\n- publish: {event: order/v1, map: to-order}"
    )
    assert [e.message.id for e in after.events] == [e.message.id for e in before.events]
    assert after.sends[1].message.id == before.sends[0].message.id


def test_another_epoch_gives_other_ids(bench, message):
    """A replay with effects is not recognised as a repeat."""
    flow = bench.flow("- send: search")
    assert flow.run(message()).sends[0].message.id != flow.run(message(epoch=1)).sends[0].message.id


def test_a_wiretap_is_a_marked_send(bench):
    """It goes out like any other, and can be told apart."""
    result = bench.run("- wiretap: search\n- send: search")
    assert [(s.endpoint, s.tap) for s in result.sends] == [("search", True), ("search", False)]


@pytest.mark.parametrize("tap", ["warehouse.order", "{to: warehouse.order, map: to-warehouse}"])
def test_a_wiretap_that_cannot_be_made_does_not_fail_the_message(bench, tap):
    """A broken contract or mapping is told in the trace, and the message goes on."""
    result = bench.run(f"- wiretap: {tap}\n- send: search", {"ticket": "4711", "country": "XX"})
    assert result.status == "completed"
    assert [send.endpoint for send in result.sends] == ["search"]
    assert result.steps[0].outcome.startswith("no copy: flow sales, step wiretap:warehouse.order")


def test_a_failed_message_sends_nothing(bench):
    """What was made before the failure, taps too, does not leave: the retry will make it again."""
    result = bench.run(
        "- wiretap: search\n- send: search\n- publish: {event: order/v1, map: to-order}\n- send: warehouse.order"
    )
    assert (result.status, result.sends, result.events) == ("failed", (), ())


def test_a_document_is_not_checked_twice_against_the_same_contract(bench, message, monkeypatch):
    """After the mapping it has met order/v1; publishing it asks no more."""
    flow = bench.flow("- map: to-order\n- publish: order/v1\n- publish: order/v1")
    contract = flow._contracts["order/v1"]
    calls = []
    monkeypatch.setattr(type(contract), "check", lambda self, document: calls.append(self.ref))
    assert flow.run(message()).status == "completed"
    assert calls == ["sale/v1", "order/v1"]


def test_the_trace_names_what_left(bench):
    """Every step tells its outcome and the ids of its messages, without bodies."""
    result = bench.run("- map: to-order\n- send: search\n- publish: order/v1")
    assert [(t.step, t.kind, t.outcome) for t in result.steps] == [
        ("map:to-order", "map", "to-order"),
        ("send:search", "send", "search"),
        ("publish:order/v1", "publish", "order/v1"),
    ]
    assert result.steps[1].children == (result.sends[0].message.id,)
    assert result.steps[2].children == (result.events[0].message.id,)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(result.steps))[0] == {
        "step": "map:to-order",
        "kind": "map",
        "outcome": "to-order",
    }
