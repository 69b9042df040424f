"""Mappings that tell what each rule did."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from esb.errors import MappingError
from esb.expression import Data
from esb.mapping_trace import Applied, TracedMapping

TREE = {
    "id": '"SO-" & ticket',
    "currency": {"const": "GBP"},
    "country": "$countries(cc)",
    "note": {"from": "remark", "default": ""},
    "lines": {"each": "items", "set": {"sku": "code", "of": "$parent.ticket", "tags": {"each": "t", "set": "$"}}},
    "gone": "nowhere",
}
LINES = {("id",): 3, ("lines",): 7, ("lines", "set", "sku"): 8}


def traced(document: Any, tree: Any = TREE) -> list[Applied]:
    """What the rules told of one document."""
    told: list[Applied] = []
    mapping = TracedMapping(told.append, "m", tree, lookups={"countries": {"GB": "UK"}}, lines=LINES, file="m.yaml")
    try:
        mapping.apply(Data(document))
    except MappingError:
        assert any(one.failed for one in told)
    return told


def said(one: Applied) -> Any:
    return one.value if one.value is not msgspec.UNSET else one.why or one.elements


def test_each_rule_tells_what_it_read_and_made() -> None:
    """With its place in the file, elements with their number, an each before its elements."""
    told = traced({"ticket": "1", "cc": "GB", "remark": "x", "items": [{"code": "A", "t": [5, 6]}, {"code": "B"}]})
    assert [(one.path, said(one)) for one in told] == [
        ("id", "SO-1"), ("currency", "GBP"), ("country", "UK"), ("note", "x"), ("lines", 2),
        ("lines[0].sku", "A"), ("lines[0].of", "1"), ("lines[0].tags", 2), ("lines[0].tags[0]", 5),
        ("lines[0].tags[1]", 6), ("lines[1].sku", "B"), ("lines[1].of", "1"),
        ("lines[1].tags", "no elements: `t` gives nothing"), ("gone", "left out: `nowhere` gives nothing"),
    ]  # fmt: skip
    assert (told[0].reads, told[0].rule.where, told[5].rule.where) == ([("ticket", '"1"')], "m.yaml:3", "m.yaml:8")
    assert told[6].reads == [("$parent.ticket", '"1"')]


def test_a_default_says_why_it_came_in() -> None:
    """The value is there, and the reason beside it; what was missing is named."""
    note = next(one for one in traced({"ticket": "1", "cc": "GB"}) if one.path == "note")
    assert (note.value, note.why, note.reads) == ("", "the default: `remark` gives nothing", [("remark", "missing")])


def test_a_miss_of_a_lookup_that_has_a_default() -> None:
    """The reason is the lookup's."""
    (told,) = traced({"cc": "XX"}, {"land": {"from": "$countries(cc)", "default": "?"}})
    assert (told.value, told.why) == ("?", 'the default: the lookup countries has no row for "XX"')


@pytest.mark.parametrize(
    ("tree", "path"),
    [({"a": "1", "b": "x / 0"}, "b"), ({"l": {"each": "$number('x')", "set": "y"}}, "l")],
)
def test_the_rule_that_fails_says_so(tree: Any, path: str) -> None:
    """It is the last that tells anything; the mapping fails as it always does."""
    last = traced({"x": 1}, tree)[-1]
    assert (last.path, last.failed) == (path, True)
    assert "expression" in last.why


def test_the_rules_are_known_beforehand() -> None:
    """Also those that no document has come by."""
    mapping = TracedMapping(lambda applied: None, "m", TREE, lookups={"countries": {}})
    inner = ["lines[*].sku", "lines[*].of", "lines[*].tags", "lines[*].tags[*]"]
    assert [rule.path for rule in mapping.rules] == ["id", "currency", "country", "note", "lines", *inner, "gone"]


def test_a_document_that_failed_leaves_nothing_behind() -> None:
    """The elements of the next one are counted from its own first."""
    told: list[Applied] = []
    mapping = TracedMapping(told.append, "m", {"l": {"each": "i", "set": {"n": {"from": "n", "required": True}}}})
    with pytest.raises(MappingError):
        mapping.apply(Data({"i": [{"n": 1}, {}]}))
    told.clear()
    mapping.apply(Data({"i": [{"n": 1}]}))
    assert [one.path for one in told] == ["l", "l[0].n"]
