"""Simple expressions need no engine: whatever they say without it, the engine says too."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esb.errors import ExpressionError
from esb.expression import Data, Expression, _settle
from esb.expression_paths import syntax_tree
from esb.expression_plain import MISSING, Unsure, compile_plain
from esb.mapping import lookup

COUNTRIES = {"countries": lookup("countries", {"DE": "Germany", "a": {"name": "A"}, "": None, "1": 1})}

names = st.sampled_from(["a", "b", "c"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**15) + 1, 10**15 - 1)
    | st.integers(-3, 3)
    | st.sampled_from([0.5, -2.5, 1e-7, 123.456, "", "a", "b", "ä", "10", "DE", "true"])
)
documents = st.dictionaries(
    names,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
    ),
    max_size=3,
)
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
literals = st.sampled_from(['"a"', '""', '"DE"', "0", "1", "-3", "0.5", "12", "true", "false", "null"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "and", "or", "&", "+", "-", "*"])
    return (
        st.builds("({} {} {})".format, inner, operators, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
        | st.builds("$not({})".format, inner)
        | st.builds("$countries({})".format, inner)
    )


calls = st.builds("${}({})".format, st.sampled_from(["count", "exists", "sum"]), paths)
expressions = st.recursive(paths | literals | calls, _larger, max_leaves=5)


@settings(max_examples=300, deadline=None)
@given(expressions, documents)
def test_what_is_said_without_the_engine_is_what_the_engine_says(text: str, document: dict[str, Any]) -> None:
    """Over documents and expressions of all shapes; where it is not sure, it says so and nothing is compared."""
    compare(text, document)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(lambda value: {"b": value}, scalars | st.decimals(-9999, 9999, places=3).map(float))))
def test_sums_are_those_of_the_engine(lines: list[Any]) -> None:
    """Whole numbers and fractions, to the last digit that is shown."""
    compare("$sum(a.b)", {"a": lines})


def test_a_sum_loses_what_the_engine_loses() -> None:
    """Python's own would tell 0.1 (since 3.12), every engine 0.09375."""
    lines = [{"b": number} for number in (99999999999999.5, 0.1, -99999999999999.5)]
    compare("$sum(a.b)", {"a": lines})
    assert Expression("$sum(a.b)").evaluate(Data({"a": lines})) == 0.09375


def compare(text: str, document: dict[str, Any]) -> None:
    plain = compile_plain(syntax_tree(text), COUNTRIES)
    if plain is None:
        return
    try:
        value = plain(document)
    except Unsure:
        return
    found = msgspec.json.encode(None if value is MISSING else value)
    expression = Expression(text, COUNTRIES)
    expression._plain = None
    try:
        told = expression.evaluate(Data(document))
    except ExpressionError as error:
        pytest.fail(f"{found!r} instead of: {error}")
    assert msgspec.json.encode(told) == msgspec.json.encode(_settle(msgspec.json.decode(found)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('priority = "high"', True),
        ('"SO-" & id', "SO-7"),
        ("$count(lines) > 1", True),
        ("$sum(lines.quantity)", 5),
        ("id > 3 and $not(closed)", True),
        ('$exists(remark) ? remark : "none"', "none"),
        ("$countries(country)", "Germany"),
        ("(id - 1) * 2", 12),
    ],
)
def test_the_everyday_ones_need_no_engine(text: str, value: Any) -> None:
    """Conditions on a field, keys put together, counts and lookups."""
    document = {
        "priority": "high", "id": 7, "closed": False, "country": "DE", "lines": [{"quantity": 2}, {"quantity": 3}],
    }  # fmt: skip
    plain = compile_plain(syntax_tree(text), COUNTRIES)
    assert plain is not None
    assert plain(document) == value


@pytest.mark.parametrize(
    "text",
    [
        "a[0]",
        "a.*",
        "$sum(a)",
        "$message.id",
        "$a",
        "function($x){$x}",
        "a ~> $f",
        "{'b': a}",
        "a.b[c=1]",
        "a ? b",
    ],
)
def test_others_are_left_to_the_engine(text: str) -> None:
    """Lists, predicates, variables, objects."""
    assert compile_plain(syntax_tree(text), {}) is None
