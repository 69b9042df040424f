"""Differences between documents, as a person reads them."""

from __future__ import annotations

import pytest

from esb.cases.compare import partial, whole


def test_alike_is_alike_whatever_the_order_of_fields():
    """And 7 is 7.0: JSON knows only numbers."""
    assert whole({"a": 7, "b": [1]}, {"b": [1], "a": 7.0}) == []


def test_a_difference_is_a_diff():
    """Of sorted, indented JSON, so that only what differs stands out."""
    assert whole({"b": 1, "a": 2}, {"b": 1, "a": 3}) == [
        "--- expected", "+++ actual", "@@ -1,4 +1,4 @@", " {", '-  "a": 2,', '+  "a": 3,', '   "b": 1', " }",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "actual"), [(1, True), (True, 1), (0, False), ("1", 1), (None, 0), ({}, []), ([], {}), (None, {})]
)
def test_values_of_different_kinds_differ(expected, actual):
    """Truth values are no numbers, and nothing is not zero."""
    assert whole(expected, actual)
    assert partial({"a": expected}, {"a": actual})


@pytest.mark.parametrize(
    ("expected", "actual", "lines"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["/a/b: expected 1, got 2"]),
        ({"a": [1, {"x": 1}]}, {"a": [1, {"x": 2, "y": 3}]}, ["/a/1/x: expected 1, got 2"]),
        ({"a": [1]}, {"a": [1, 2]}, ["/a: expected 1 elements, got 2: [1,2]"]),
        ({"x/y": 1, "~": 2}, {}, ["/x~1y: expected 1, got nothing", "/~0: expected 2, got nothing"]),
        (1, 2, ["/: expected 1, got 2"]),
        ({"a": {"b": 1}}, {"a": [1]}, ['/a: expected {"b":1}, got [1]']),
    ],
)
def test_a_partial_difference_names_its_pointer(expected, actual, lines):
    """Further fields of objects do not matter; the length of a list does."""
    assert partial(expected, actual) == lines
