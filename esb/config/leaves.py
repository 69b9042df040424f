"""Checks a mapping: every expression against the source contract, every target field against the target's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from esb.config.expressions import Context, ExpressionChecker, element_view
from esb.config.fields import Missing, View
from esb.config.findings import Report, nearest
from esb.config.tree import Map, Spot

_FROM = frozenset({"from", "default", "required"})


class LeafChecker(msgspec.Struct):
    """Walks the ``set:`` of a mapping, in a file or inline."""

    report: Report
    expressions: ExpressionChecker

    def check(self, spot: Spot, context: Context, target: View | None) -> None:
        """One level: a mapping of target fields.

        Args:
            spot: of the ``set:`` (or of a nested object).
            context: what its expressions may use.
            target: the shape to be filled; None where it is not known.
        """
        if not isinstance(spot.value, Map):
            return
        for name in spot.value:
            here = spot.at(name)
            self._value(here, context, self._target(name, here, target))
        self._require(spot, target)

    def _value(self, spot: Spot, context: Context, target: View | None) -> None:
        value = spot.value
        if not isinstance(value, Map):
            if not (value is None or isinstance(value, bool | int | float)):
                self.expressions.check(value, spot, context)
        elif is_each(value):
            self._each(spot, context, target)
        elif is_from(value):
            self.expressions.check(value["from"], spot.at("from"), context)
        elif set(value) != {"const"}:
            self.check(spot, context, target)

    def _each(self, spot: Spot, context: Context, target: View | None) -> None:
        self.expressions.check(spot.value["each"], spot.at("each"), context)
        view = element_view(spot.value["each"], context)
        inner = Context(view, {**context.variables, "parent": context.view}, context.functions)
        self.check(spot.at("set"), inner, target.element() if target else None)

    def _target(self, name: str, spot: Spot, target: View | None) -> View | None:
        found = target.find((name,)) if target else None
        if target is None or not isinstance(found, Missing):
            return found if isinstance(found, View) else None
        hint = nearest(name, found.known)
        text = f"The target {target.ref} has no field {name!r} here; known are {', '.join(found.known[:12])}."
        self.report.at_key(spot, "unknown-path", text, value=name, hint=hint)
        return None

    def _require(self, spot: Spot, target: View | None) -> None:
        """A field that the target demands and the mapping never sets makes every message fail."""
        for name in target.required() if target else ():
            misspelt = any(nearest(key, [name]) for key in spot.value)
            if name not in spot.value and not misspelt and target is not None:
                text = f"{target.ref} requires {name!r} here, and nothing sets it: add it."
                self.report.add(spot.key_at, "missing-key", text, pointer=spot.pointer, value=name)


def is_each(value: Any) -> bool:
    """Whether a leaf is a list: ``{each: expr, set: {…}}``."""
    return isinstance(value, Map) and set(value) == {"each", "set"}


def is_from(value: Any) -> bool:
    """Whether a leaf is ``{from: expr}``, perhaps with ``default`` and ``required``."""
    return isinstance(value, Map) and "from" in value and set(value) <= _FROM


def top_expressions(spot: Spot) -> Iterator[Spot]:
    """Every expression of a ``set:`` that is relative to the document itself: those not inside a list."""
    value = spot.value
    if is_each(value):
        yield spot.at("each")
    elif is_from(value):
        yield spot.at("from")
    elif isinstance(value, Map) and set(value) != {"const"}:
        for name in value:
            yield from top_expressions(spot.at(name))
    elif isinstance(value, str):
        yield spot
