"""What steps look like in YAML, and what ``check`` finds in them."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import jsonschema
import pytest

import esb.flow
from esb.flow import STEPS
from esb.flow.step import Kind


@pytest.mark.parametrize(
    ("steps", "line", "kind", "piece"),
    [
        ("- map: to-ordr", 4, "unknown-mapping", "to-ordr"),
        ("- send: warehouse.oder", 4, "unknown-operation", "oder"),
        ("- send: [search, {to: warhouse.order}]", 4, "unknown-endpoint", "warhouse"),
        ("- send: warehouse", 4, "unknown-operation", "order, note"),
        ("- send: {to: search, map: nope}", 4, "unknown-mapping", "nope"),
        ("- publish: order/v7", 4, "unknown-contract", "order/v7"),
        ("- publish: order", 4, "bad-value", "order"),
        ("- wiretap: nowhere", 4, "unknown-endpoint", "nowhere"),
        ("- filter: {when: country =}", 4, "bad-expression", "country ="),
        ("- filter: 7", 4, "wrong-type", "7"),
        ("- filter:\n    wenn: true", 5, "unknown-key", "wenn"),
        ("- choose: []", 4, "bad-value", ""),
        ("- choose:\n    - {when: country = 'GB'}", 5, "bad-value", "otherwise"),
        (
            "- choose:\n    - {when: country = 'GB', do: {send: search}, otherwise: {send: search}}",
            5,
            "bad-value",
            "branch",
        ),
        (
            "- choose:\n    - {otherwise: {send: search}}\n    - {when: country = 'GB', do: {send: search}}",
            5,
            "bad-value",
            "at the end",
        ),
        ("- choose:\n    - when: country = 'GB'\n      do:\n        - send: nowhere", 7, "unknown-endpoint", "nowhere"),
        ("- choose:\n    - when: country = 'GB'\n      do: {snd: search}", 6, "unknown-step", "snd"),
        ("- split: {each: items, do: {send: nowhere}}", 4, "unknown-endpoint", "nowhere"),
        ("- split: {each: itms, do: {send: search}}", 4, "unknown-path", "itms"),
        ("- split: {do: {send: search}}", 4, "missing-key", "each"),
        ("- set: {}", 4, "bad-value", ""),
        ("- set: {x: contry}", 4, "unknown-path", "contry"),
        ("- set: {from: country}", 4, "bad-value", "from"),
        ("- set: country", 4, "wrong-type", "country"),
    ],
)
def test_a_mistake_is_one_finding_at_its_line(bench, steps, line, kind, piece):
    """The steps say themselves what they refer to."""
    errors = [finding for finding in bench.check(steps).findings if finding.level == "error"]
    assert [(f.file, f.line, f.kind) for f in errors] == [("flows/sales.yaml", line, kind)], errors
    assert piece in f"{errors[0].text} {errors[0].value}"


@pytest.mark.parametrize(
    ("steps", "piece"),
    [
        ("- map: to-order\n- filter: ticket = '1'", "ticket"),
        ("- choose: [{when: country = 'GB', do: {map: to-order}}]\n- filter: anything = '1'", "anything"),
        ("- choose: [{when: country = 'GB', do: {map: to-order}}]\n- filter: ticket = '1' or orderId = '1'", None),
        (
            "- choose: [{when: ticket = '1', do: {map: to-order}}, {otherwise: {map: to-order}}]\n"
            "- filter: ticket = '1'",
            "ticket",
        ),
        ("- split: items\n- filter: ticket = '1'", None),
        ("- split: {each: items, do: {send: search}}\n- filter: tickt = '1'", "tickt"),
        ("- send: search\n- wiretap: search\n- filter: tickt = '1'", "tickt"),
        ("- send: {to: warehouse.order, map: to-warehouse}\n- filter: tickt = '1'", "tickt"),
        ("- choose: [{when: country = 'GB', do: [{split: items}, {send: search}]}]\n- filter: anything = '1'", None),
    ],
)
def test_each_step_says_what_is_in_force_behind_it(bench, steps, piece):
    """Where it is known, paths are checked; where branches differ, what one of them has is there."""
    errors = [f for f in bench.check(steps).findings if f.level == "error" and f.kind == "unknown-path"]
    if piece:
        assert [piece in f.text for f in errors] == [True], errors
    else:
        assert errors == []


@pytest.mark.parametrize(
    ("kind", "valid", "invalid"),
    [
        ("map", ["name", {"set": {"a": 1}}, {"to": "a/v1", "set": {"a": "b"}}], [7, {"set": {}}, {"st": {}}]),
        ("set", [{"a": 1}], ["x", {}, []]),
        ("filter", ["a", {"when": "a"}], [1, {"wen": "a"}, {}]),
        ("split", ["a", {"each": "a", "together": True}], [1, {}, {"each": 1}]),
        ("send", ["a", {"to": "a"}, ["a", {"to": "b", "map": "m"}]], [1, [], {"t": "a"}, [["a"]]]),
        ("wiretap", ["a", {"to": "a"}], [1]),
        ("publish", ["a/v1", {"event": "a/v1", "map": "m"}], ["a", 7, {"map": "m"}]),
        ("choose", [[{"when": "a", "do": {"send": "x"}}]], [[], "x", {}]),
    ],
)
def test_the_exported_schema_takes_what_the_model_takes(kind, valid, invalid):
    """Editors and the loader agree, short forms included."""
    validator = jsonschema.Draft202012Validator(STEPS[kind].Settings.model_json_schema())
    for value in valid:
        STEPS[kind].Settings.model_validate(value)
        assert validator.is_valid(value), value
    for value in invalid:
        with pytest.raises(ValueError, match="validation error"):
            STEPS[kind].Settings.model_validate(value)
        assert not validator.is_valid(value), value


def test_every_kind_is_described():
    """The reference is generated from this."""
    for word, kind in STEPS.items():
        assert kind.kind == word
        assert kind.summary and kind.__doc__ and kind.Settings.__doc__


def test_every_step_that_a_module_defines_is_known_by_its_word() -> None:
    """Nobody has to list it; the words are all different."""
    modules = [import_module(f"esb.flow.{one.name}") for one in pkgutil.iter_modules(esb.flow.__path__)]
    found = {
        one
        for module in modules
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Kind) and "kind" in vars(one)
    }
    assert found == set(STEPS.values())
    assert all(STEPS[kind.kind] is kind for kind in found)
