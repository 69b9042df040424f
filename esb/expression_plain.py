"""Simple expressions without the engine: paths, comparisons, conditions, text put together, a count, a sum, a lookup.

Nearly every condition and most leaves are of that kind, and to hand the whole document over to the engine costs more
than the answer. An expression is compiled to closures over the document as it is. Where a value is of a sort whose
treatment is the engine's secret (lists on the way, mixed types, fractions), :class:`Unsure` is raised and the engine is
asked; so the two never differ. By hand because this is the hot path of mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import add
from types import MappingProxyType
from typing import Any

Plain = Callable[[Any], Any]  # from the document to the value; MISSING for nothing

MISSING: Any = type("Missing", (), {"__slots__": ()})()  # nothing there, which null is not
LARGEST = 10**15  # whole numbers below it are the same for every engine

_SCALARS = frozenset({str, bool, int, float, type(None)})
_NUMBERS = frozenset({int, float})


class Unsure(Exception):  # noqa: N818 - no error: somebody else knows
    """The engine has to be asked."""


def compile_plain(tree: Any, functions: Mapping[str, Callable[..., Any]]) -> Plain | None:
    """An expression as a function of the document; None when it is not simple.

    The function raises :class:`Unsure`, and gives scalars, what a lookup gave, or ``MISSING``.

    Args:
        tree: the syntax tree, as ``jsonata-python`` has it.
        functions: lookups by name, without ``$``.
    """
    try:
        return _compile(tree, functions)
    except Unsure:
        return None


def _compile(node: Any, functions: Mapping[str, Callable[..., Any]]) -> Plain:
    kind = node.type
    if getattr(node, "predicate", None) or getattr(node, "group", None) or getattr(node, "stages", None):
        raise Unsure
    if kind in ("string", "number", "value"):
        return _constant(node.value)
    if kind == "path":
        return _field(_names(node))
    if kind == "binary" and node.value in _BINARY:
        return _binary(node, functions)
    if kind == "condition" and node._else is not None:
        return _condition(*(_compile(part, functions) for part in (node.condition, node.then, node._else)))
    if kind == "block" and len(node.expressions) == 1:
        return _compile(node.expressions[0], functions)
    if kind == "function" and node.procedure.type == "variable" and len(node.arguments) == 1:
        return _call(node.procedure.value, node.arguments[0], functions)
    raise Unsure


def _binary(node: Any, functions: Mapping[str, Callable[..., Any]]) -> Plain:
    plain = _BINARY[node.value](_compile(node.lhs, functions), _compile(node.rhs, functions))
    if node.value in ("=", "!=") and node.lhs.type == "path" and node.rhs.type == "string":
        return _field_equal(_names(node.lhs), node.rhs.value, node.value == "=", plain)
    return plain


def _call(name: str, argument: Any, functions: Mapping[str, Callable[..., Any]]) -> Plain:
    if name in functions:
        return _lookup(functions[name], _compile(argument, functions))
    if name == "not":
        return _not(_compile(argument, functions))
    if name in _OF_PATHS and argument.type == "path":
        return _OF_PATHS[name](_names(argument))
    raise Unsure


def _constant(value: Any) -> Plain:
    if type(value) not in _SCALARS:
        raise Unsure
    return lambda document: value


def _names(node: Any) -> tuple[str, ...]:
    """The names of a path that is nothing but names."""
    for step in node.steps:
        rest = {key: value for key, value in vars(step).items() if value and key in _SPECIAL}
        if step.type != "name" or rest:
            raise Unsure
    if any(getattr(node, mark, None) for mark in _SPECIAL):
        raise Unsure
    return tuple(step.value for step in node.steps)


_SPECIAL = ("stages", "predicate", "group", "focus", "index", "ancestor", "tuple", "keep_array", "keep_singleton_array")


def _path(names: Sequence[str]) -> Plain:
    def follow(value: Any) -> Any:
        for name in names:
            if type(value) is dict:
                value = value.get(name, MISSING)
            elif type(value) is list:
                raise Unsure
            else:
                return MISSING
        return value

    return follow


def _field(names: Sequence[str]) -> Plain:
    """A path to one value, as :func:`_path` follows it, without a call; nearly all leaves and conditions read some."""

    def value_of(document: Any) -> Any:
        value = document
        for name in names:
            if type(value) is dict:
                value = value.get(name, MISSING)
            elif type(value) is list:
                raise Unsure
            else:
                return MISSING
        if type(value) in _SCALARS or value is MISSING:
            return value
        raise Unsure

    return value_of


def _equal(left: Plain, right: Plain, wanted: bool) -> Plain:
    def compare(document: Any) -> Any:
        one, other = left(document), right(document)
        kind, another = type(one), type(other)
        if kind is another and kind in _SCALARS:
            return (one == other) is wanted
        if kind in _SCALARS and another in _SCALARS:
            return (kind in _NUMBERS and another in _NUMBERS and one == other) is wanted
        if wanted and (one is MISSING or other is MISSING):
            return False
        raise Unsure

    return compare


def _field_equal(names: Sequence[str], text: str, wanted: bool, plain: Plain) -> Plain:
    """As :func:`_equal` of a field and a text, which most conditions are: without a call where the field is a text.

    ``plain`` is the comparison itself, for everything else.
    """
    first, *deeper = names

    def compare(document: Any) -> Any:
        value = document.get(first) if type(document) is dict else None
        for name in deeper:
            value = value.get(name) if type(value) is dict else None
        return (value == text) is wanted if type(value) is str else plain(document)

    return compare


def _ordered(left: Plain, right: Plain, holds: Callable[[Any, Any], bool]) -> Plain:
    def compare(document: Any) -> Any:
        one, other = left(document), right(document)
        if not (type(one) in _NUMBERS and type(other) in _NUMBERS) and not (_ascii(one) and _ascii(other)):
            raise Unsure
        return holds(one, other)

    return compare


def _ascii(value: Any) -> bool:
    """Text whose order is the same in every encoding."""
    return type(value) is str and value.isascii()


def _both(left: Plain, right: Plain) -> Plain:
    def test(document: Any) -> Any:
        one, other = _truth(left(document)), _truth(right(document))  # both, for what fails in the second one
        return one and other

    return test


def _either(left: Plain, right: Plain) -> Plain:
    def test(document: Any) -> Any:
        one, other = _truth(left(document)), _truth(right(document))
        return one or other

    return test


def _truth(value: Any) -> bool:
    """What counts as true (``$boolean``)."""
    if value is MISSING or value is None:
        return False
    if type(value) not in _SCALARS:
        raise Unsure
    return bool(value)


def _joined(left: Plain, right: Plain) -> Plain:
    return lambda document: _text(left(document)) + _text(right(document))


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if value is MISSING:
        return ""
    if type(value) is int and -LARGEST < value < LARGEST:
        return str(value)
    raise Unsure


def _reckoned(left: Plain, right: Plain, reckon: Callable[[int, int], int]) -> Plain:
    """Whole numbers only: how fractions are rounded is the engine's to say."""

    def compute(document: Any) -> Any:
        one, other = left(document), right(document)
        if type(one) is not int or type(other) is not int or abs(result := reckon(one, other)) >= LARGEST:
            raise Unsure
        return result

    return compute


def _condition(condition: Plain, then: Plain, otherwise: Plain) -> Plain:
    return lambda document: then(document) if _truth(condition(document)) else otherwise(document)


def _not(inner: Plain) -> Plain:
    def negate(document: Any) -> Any:
        value = inner(document)
        if value is MISSING:
            raise Unsure
        return not _truth(value)

    return negate


def _lookup(find: Callable[..., Any], key: Plain) -> Plain:
    def ask(document: Any) -> Any:
        wanted = key(document)
        if wanted is not MISSING and type(wanted) not in _SCALARS:
            raise Unsure
        try:
            return find(None if wanted is MISSING else wanted)
        except Exception:
            raise Unsure from None  # it fails there again, and the failure gets its words

    return ask


def _count(names: Sequence[str]) -> Plain:
    follow = _path(names)

    def count(document: Any) -> Any:
        value = follow(document)
        if type(value) is list:
            return len(value)
        if value is MISSING:
            return 0
        raise Unsure

    return count


def _exists(names: Sequence[str]) -> Plain:
    follow = _path(names)

    def exists(document: Any) -> Any:
        value = follow(document)
        if type(value) is list:
            raise Unsure
        return value is not MISSING

    return exists


def _sum(names: Sequence[str]) -> Plain:
    """Of a field of the objects in a list. Fractions are added in their order, as every engine does (IEEE 754)."""
    if len(names) < 2:
        raise Unsure
    follow, last = _path(names[:-1]), names[-1]

    def total(document: Any) -> Any:
        elements = follow(document)
        if type(elements) is not list or not elements:
            raise Unsure
        try:
            numbers = [element[last] for element in elements]
            found = reduce(add, numbers)  # sum() makes up for what is lost on the way, since Python 3.12
        except (KeyError, TypeError, IndexError):
            raise Unsure from None
        if not _NUMBERS.issuperset(map(type, numbers)) or not -LARGEST < found < LARGEST:
            raise Unsure
        return int(found) if found == int(found) else found  # as the engine says it: 10, not 10.0

    return total


_BINARY: Mapping[str, Callable[[Plain, Plain], Plain]] = MappingProxyType(
    {
        "=": partial(_equal, wanted=True),
        "!=": partial(_equal, wanted=False),
        "<": partial(_ordered, holds=lambda one, other: one < other),
        "<=": partial(_ordered, holds=lambda one, other: one <= other),
        ">": partial(_ordered, holds=lambda one, other: one > other),
        ">=": partial(_ordered, holds=lambda one, other: one >= other),
        "and": _both,
        "or": _either,
        "&": _joined,
        "+": partial(_reckoned, reckon=lambda one, other: one + other),
        "-": partial(_reckoned, reckon=lambda one, other: one - other),
        "*": partial(_reckoned, reckon=lambda one, other: one * other),
    }
)
_OF_PATHS: Mapping[str, Callable[[Sequence[str]], Plain]] = MappingProxyType(
    {"count": _count, "exists": _exists, "sum": _sum}
)
