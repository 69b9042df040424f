"""Decimal numbers in expressions: exact, of any length, rounded only when told to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esb.decimals import FUNCTIONS
from esb.errors import ExpressionError
from esb.expression import Data, Expression


def value(text: str, document: Any = None) -> Any:
    return Expression(text).evaluate(Data(document if document is not None else {}))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('$decAdd("0.10", "0.20")', "0.30"),
        ('$decAdd("12345678901234567890.01", 1, "0.09")', "12345678901234567891.10"),
        ('$decSubtract("1", "0.9999999999999999999")', "0.0000000000000000001"),
        ('$decMultiply("19.90", 3)', "59.70"),
        ("$decSum(lines.amount)", "30.30"),
        ("$decSum(lines[0].amount)", "10.10"),
        ('$decDivide("10", 3, 2)', "3.33"),
        ('$decDivide("0.5", 1, 0)', "0"),
        ('$decDivide("0.5", 1, 0, "half-up")', "1"),
        ('$decRound("2.345", 2)', "2.34"),
        ('$decRound("2.345", 2, "half-up")', "2.35"),
        ('$decRound("-2.349", 2, "down")', "-2.34"),
        ('$decCompare("1.0", 1)', 0),
        ('$decCompare("1.01", 1)', 1),
        ('$dec("1e3")', "1000"),
        ("$dec(0.1)", "0.1"),
        ("$decAdd(nowhere, 1)", None),
        ("$decSum(nowhere)", None),
        ('$number($decAdd("0.1", "0.2"))', 0.3),
    ],
)
def test_what_the_functions_give(text: str, result: Any) -> None:
    """Text that people would write; nothing for nothing."""
    assert value(text, {"lines": [{"amount": "10.10"}, {"amount": 20.2}]}) == result


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('$decAdd("1,5", 1)', '"1,5" is no decimal number'),
        ("$dec(true)", "true is no decimal number"),
        ('$decDivide("1", "0", 2)', "a division by zero"),
        ('$decRound("1", -1)', "-1 are no places behind the point"),
        ('$decRound("1", 2, "up")', 'no rounding "up": half-even, half-up, down'),
        ('$decAdd("1e999", 1)', "at most 100 digits"),
        ('$decMultiply("1e90", "1e90")', "at most 100 digits"),
        ('$decSubtract("1")', "it is called with 1 values"),
        ('$dec("NaN")', '"NaN" is no decimal number'),
    ],
)
def test_what_is_no_number_fails_the_message(text: str, said: str) -> None:
    """With a sentence; nothing is guessed, and a short text never becomes a huge one."""
    with pytest.raises(ExpressionError, match=said.replace("(", r"\(")):
        value(text)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20)))
def test_a_sum_is_exact(numbers: list[Decimal]) -> None:
    """Whatever the order and the length."""
    result = FUNCTIONS["decSum"]([str(number) for number in numbers]) if numbers else "0"
    assert Decimal(result) == sum(numbers)


def test_a_lookup_of_the_same_name_goes_before() -> None:
    """What a mapping defines itself, it means."""
    assert Expression("$dec(1)", {"dec": lambda key: "mine"}).evaluate(Data({})) == "mine"
