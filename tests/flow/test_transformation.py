"""Changing the document: ``map`` and ``set``."""

from __future__ import annotations

import json

import pytest


def sent(result):
    assert result.error is None, result.error
    return json.loads(result.sends[0].message.body)


def test_map_replaces_the_document_and_its_type(bench):
    """Behind it the mapping's target is in force."""
    result = bench.run("- map: to-order\n- send: search")
    assert sent(result) == {"orderId": "SO-4711", "country": "GB"}
    assert result.sends[0].message.contract == "order/v1"


def test_a_mapping_may_stand_in_the_flow(bench):
    """Inline, with its target; constants, defaults and lists as in a file."""
    result = bench.run("""
        - map: {to: order/v1, set: {orderId: ticket, country: {const: FR}, lines: {each: items, set: {s: sku}}}}
        - send: search
        """)
    assert sent(result) == {"orderId": "4711", "country": "FR", "lines": [{"s": "A"}, {"s": "B"}]}


def test_a_mapping_without_target_keeps_the_type_but_no_version(bench):
    """Nobody knows whether the old contract still holds, so it is not claimed."""
    message = bench.run("- map: {set: {ticket: ticket}}\n- send: search").sends[0].message
    assert (message.type, message.version) == ("sale", 0)


def test_the_result_of_a_mapping_meets_its_target(bench):
    """A source without country gives an order without one, and that is no order."""
    result = bench.run("- map: to-order\n- send: search", {"ticket": "1"})
    assert (result.status, result.step, result.error.kind) == ("failed", "map:to-order", "contract")
    assert "country" in str(result.error)


def test_a_failing_leaf_names_its_place_and_the_place_of_the_step(bench):
    """Flow, step, file and line; then the mapping's own file, line, leaf and the value at hand."""
    result = bench.run("- send: {to: warehouse.order, map: to-warehouse}", {"ticket": "1", "country": "XX"})
    text = str(result.error)
    assert (result.error.kind, result.error.leaf) == ("mapping", "land")
    assert "flow sales, step send:warehouse.order (flows/sales.yaml:4)" in text
    assert "mappings/to-warehouse.yaml:4" in text
    assert '"XX"' in text


def test_a_failing_leaf_of_an_inline_mapping_names_the_line_of_its_step(bench):
    """There is no other file to look into."""
    result = bench.run("- send: search\n- map: {set: {n: $number(ticket)}}", {"ticket": "many"})
    assert result.error.leaf == "n"
    assert "flows/sales.yaml:5" in str(result.error)


def test_set_adds_and_replaces_fields_and_leaves_the_rest(bench):
    """Leaves as in mappings: expressions, numbers, truth values, constants."""
    result = bench.run("""
        - set: {country: '"EU"', n: 7, ok: true, name: {const: Ann}, first: "items[0].sku"}
        - send: search
        """)
    assert sent(result) == {
        "ticket": "4711", "country": "EU", "items": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}],
        "n": 7, "ok": True, "name": "Ann", "first": "A",
    }  # fmt: skip


def test_set_merges_nested_fields_deeply(bench):
    """A nested mapping goes into the object that is there, or makes one."""
    result = bench.run(
        "- set: {a: {b: {x: 1}}, new: {y: 2}}\n- send: search", {"ticket": "1", "a": {"b": {"z": 0}, "c": 3}}
    )
    assert sent(result) == {"ticket": "1", "a": {"b": {"z": 0, "x": 1}, "c": 3}, "new": {"y": 2}}


def test_set_puts_an_object_that_a_leaf_gave_as_it_is(bench):
    """Only nested mappings of the step merge; a value replaces a value."""
    result = bench.run("- set: {a: {const: {x: 1}}}\n- send: search", {"ticket": "1", "a": {"y": 2}})
    assert sent(result)["a"] == {"x": 1}


def test_set_takes_dots_as_part_of_a_name(bench):
    """`a.b` is a field of that name."""
    assert sent(bench.run("- set: {a.b: 1}\n- send: search"))["a.b"] == 1


def test_set_leaves_alone_what_a_leaf_gives_nothing_for(bench):
    """An absent source does not erase what is there, also not deeper down."""
    result = bench.run("- set: {country: 'items[9].sku', a: {b: 'items[9].sku'}}\n- send: search")
    assert sent(result) == {
        "ticket": "4711",
        "country": "GB",
        "items": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}],
    }


def test_leaves_of_set_see_the_document_before_the_step(bench):
    """So two fields can change places."""
    document = {"ticket": "1", "a": 1, "b": 2}
    result = bench.run("- set: {a: b, b: a}\n- send: search", document, source="open")
    assert sent(result) == {"ticket": "1", "a": 2, "b": 1}


def test_set_does_not_touch_documents_already_sent(bench):
    """Each send has the document of its own moment."""
    result = bench.run("- send: search\n- set: {x: {y: 1}}\n- send: search\n- set: {x: {y: 2}}\n- send: search")
    assert [json.loads(s.message.body).get("x") for s in result.sends] == [None, {"y": 1}, {"y": 2}]


@pytest.mark.parametrize(
    ("document", "place"), [([1], "as document"), ({"a": 7}, "at a"), ({"a": {"b": []}}, "at a.b")]
)
def test_set_needs_an_object_to_put_fields_into(bench, document, place):
    """A list or a scalar in the way is an error that names it, not silently replaced."""
    result = bench.run("- set: {a: {b: {c: 1}}}", document, source="open", type="other")
    assert result.error.kind == "mapping"
    assert f"set needs an object {place}" in str(result.error)


def test_after_set_no_contract_is_claimed_and_the_next_is_checked(bench):
    """order/v1 held before; publishing looks again."""
    result = bench.run("- map: to-order\n- set: {orderId: 7}\n- send: search")
    assert result.sends[0].message.version == 0
    result = bench.run("- map: to-order\n- set: {country: {const: null}}\n- publish: order/v1")
    assert result.status == "completed"  # null is a value; order/v1 asks only that the field is there


def test_the_message_is_at_hand_as_a_variable(bench):
    """$message has its attributes, $now its time: a replay tomorrow gives the same."""
    result = bench.run(
        """
        - map:
            set:
              id: $message.id
              key: $message.subject
              store: $message.headers.store
              now: $now()
              v: $message.version
        - send: search
        """,
        headers={"store": "7"},
    )
    assert sent(result) == {
        "id": "0195d2a1-7c00-7000-8000-000000000001",
        "key": "4711", "store": "7", "now": "2026-01-01T00:00:00.000Z", "v": 1,
    }  # fmt: skip


def test_the_message_is_at_hand_in_every_corner_of_a_mapping(bench):
    """In lists written out, in lists made with each, in nested fields."""
    result = bench.run("""
        - map:
            set:
              ids: [$message.version, 2]
              rows: {each: items, set: {v: $message.version}}
              deep: {er: $message.version}
        - send: search
        """)
    assert sent(result) == {"ids": [1, 2], "rows": [{"v": 1}, {"v": 1}], "deep": {"er": 1}}


@pytest.mark.parametrize("leaf", ["[$message.version]", "{each: items, set: {v: $message.version}}"])
def test_the_message_is_at_hand_however_deep_it_is_named(bench, leaf):
    """Wherever the only use of it stands."""
    result = bench.run(f"- set: {{x: {leaf}}}\n- send: search")
    assert sent(result)["x"] in ([1], [{"v": 1}, {"v": 1}])
