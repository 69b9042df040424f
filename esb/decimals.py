"""Decimal numbers in expressions (``$decAdd`` and the like), for money and whatever else must not be rounded.

JSONata computes in binary fractions, exact to 15 significant digits. These functions take and give decimal numbers as
text, of any length that is in use, and never round unless they are told to.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from esb.errors import ExpressionError
from esb.quoting import quote

DIGITS = 100  # of a number, before and behind the point together
_EXACT = decimal.Context(prec=4 * DIGITS, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow])
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_ROUNDINGS = MappingProxyType(
    {"half-even": decimal.ROUND_HALF_EVEN, "half-up": decimal.ROUND_HALF_UP, "down": decimal.ROUND_DOWN}
)
_Function = Callable[..., Any]


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ExpressionError(f'{quote(value)} is no decimal number: text such as "19.90", or a number, is needed')
    text = value.strip() if isinstance(value, str) else repr(value)
    if not _NUMBER.fullmatch(text):
        raise ExpressionError(f"{quote(value)} is no decimal number")
    return _bounded(Decimal(text))


def _bounded(number: Decimal) -> Decimal:
    """Beyond any use: a text of a few characters must not become one of a million."""
    if number and (abs(number.adjusted()) > DIGITS or len(number.as_tuple().digits) > DIGITS):
        raise ExpressionError(f"a decimal number has at most {DIGITS} digits, and this one more")
    return number


def _text(number: Decimal) -> str:
    """As people write it, with the places behind the point that it has."""
    return f"{_bounded(number):f}"


def _places(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or not 0 <= value <= 30:
        raise ExpressionError(f"{quote(value)} are no places behind the point: 0 to 30")
    return Decimal(1).scaleb(-int(value))


def _rounding(mode: Any) -> str:
    if mode not in _ROUNDINGS:
        raise ExpressionError(f"there is no rounding {quote(mode)}: {', '.join(_ROUNDINGS)}")
    return _ROUNDINGS[mode]


def _of(value: Any) -> str:
    return _text(_decimal(value))


def _add(*values: Any) -> str:
    return _sum(list(values))


def _sum(values: Any) -> str:
    total = Decimal(0)
    for value in values if isinstance(values, list) else [values]:
        total = _EXACT.add(total, _decimal(value))
    return _text(total)


def _subtract(one: Any, other: Any) -> str:
    return _text(_EXACT.subtract(_decimal(one), _decimal(other)))


def _multiply(one: Any, other: Any) -> str:
    return _text(_EXACT.multiply(_decimal(one), _decimal(other)))


def _divide(one: Any, other: Any, places: Any, mode: Any = "half-even") -> str:
    divisor = _decimal(other)
    if not divisor:
        raise ExpressionError("a division by zero")
    rough = decimal.Context(prec=4 * DIGITS).divide(_decimal(one), divisor)
    return _text(rough.quantize(_places(places), _rounding(mode), decimal.Context(prec=4 * DIGITS)))


def _round(value: Any, places: Any, mode: Any = "half-even") -> str:
    return _text(_decimal(value).quantize(_places(places), _rounding(mode), decimal.Context(prec=4 * DIGITS)))


def _compare(one: Any, other: Any) -> int:
    return int(_decimal(one).compare(_decimal(other)))


def _quiet(function: _Function) -> _Function:
    """Nothing gives nothing, as JSONata's own functions do."""

    def call(*values: Any) -> Any:
        if not values or None in values:
            return None
        try:
            return function(*values)
        except TypeError as error:
            raise ExpressionError(f"it is called with {len(values)} values, and takes others") from error

    return call


FUNCTIONS: Mapping[str, _Function] = MappingProxyType(
    {
        name: _quiet(function)
        for name, function in (
            ("dec", _of),
            ("decAdd", _add),
            ("decCompare", _compare),
            ("decDivide", _divide),
            ("decMultiply", _multiply),
            ("decRound", _round),
            ("decSubtract", _subtract),
            ("decSum", _sum),
        )
    }
)
