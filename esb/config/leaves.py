"""Checks a mapping: every expression against the source contract, every target field against the target's."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import msgspec

from esb.config.expressions import Context, ExpressionChecker, element_context
from esb.config.fields import Missing, View
from esb.config.findings import Report, nearest
from esb.config.masks import check_leaf
from esb.config.tree import Map, Spot
from esb.errors import MappingError
from esb.mapping import Each, Fields, Items, Leaf, Node, parse, referenced_expressions
from esb.masking import Tree, beneath, both

_WORDS = MappingProxyType(
    {"const": ("const",), "each": ("each", "set", "required"), "from": ("from", "default", "required")}
)


class _Filled(msgspec.Struct, frozen=True):
    """The place that a part of a mapping fills: its shape, what is hidden in it, and the contract ("": none)."""

    view: View | None
    hidden: Tree | None
    ref: str

    def element(self) -> _Filled:
        """Inside a list."""
        return _Filled(self.view.element() if self.view else None, self.hidden, self.ref)


class LeafChecker(msgspec.Struct):
    """Walks the ``set:`` of a mapping, in a file or inline."""

    report: Report
    expressions: ExpressionChecker
    everywhere: Tree | None = None  # what is hidden in every document

    def check(self, spot: Spot, context: Context, target: View | None) -> None:
        """One ``set:``.

        Args:
            spot: of its value.
            context: what its expressions may use.
            target: the shape to be filled; None where it is not known.
        """
        try:
            node = parse(spot.value)
        except MappingError as error:
            self._meaningless(spot, error)
        else:
            # Without a target the result stays what the document was, and what is hidden in that stays hidden.
            shape = target or context.view
            filled = _Filled(
                target, both(shape.hidden if shape else None, self.everywhere), target.ref if target else ""
            )
            self._node(node, spot, context, filled)

    def _node(self, node: Node, spot: Spot, context: Context, filled: _Filled) -> None:
        if isinstance(node, Leaf):
            here = spot.at(*node.pointer)
            self.expressions.check(node.text, here, context)
            check_leaf(node.text, here, context, filled.hidden, filled.ref, self.report)
        elif isinstance(node, Each):
            self.expressions.check(node.text, spot.at(*node.pointer), context)
            self._node(node.body, spot, element_context(node.text, context), filled.element())
        elif isinstance(node, Items):
            for item in node.items:
                self._node(item, spot, context, filled.element())
        elif isinstance(node, Fields):
            self._fields(node, spot, context, filled)

    def _fields(self, node: Fields, spot: Spot, context: Context, filled: _Filled) -> None:
        here, target = spot.at(*node.pointer), filled.view
        for name, child in node.fields:
            below = _Filled(self._target(name, here.at(name), target), beneath(filled.hidden, (name,)), filled.ref)
            self._node(child, spot, context, below)
        for name in target.required() if target else ():
            # A field that the target demands and the mapping never sets makes every message fail.
            if target and not any(name == key or nearest(key, [name]) for key, _ in node.fields):
                text = f"{target.ref} requires {name!r} here, and nothing sets it: add it."
                self.report.add(here.key_at, "missing-key", text, pointer=here.pointer, value=name)

    def _target(self, name: str, spot: Spot, target: View | None) -> View | None:
        found = target.find((name,)) if target else None
        if target is None or not isinstance(found, Missing):
            return found if isinstance(found, View) else None
        hint = nearest(name, found.known)
        text = f"The target {target.ref} has no field {name!r} here; known are {', '.join(found.known[:12])}."
        self.report.at_key(spot, "unknown-path", text, value=name, hint=hint)
        return None

    def _meaningless(self, spot: Spot, error: MappingError) -> None:
        """An object that is neither a leaf nor an object of leaves: point at the key that is too much."""
        path = [int(part) if part.isdecimal() else part for part in error.leaf.split(".")] if error.leaf else []
        here = spot.at(*path)
        text = str(error).removeprefix(f"{error.leaf}: ")
        text = f"{text[:1].upper()}{text[1:]}."
        for word, allowed in _WORDS.items():
            if isinstance(here.value, Map) and word in here.value:
                extra = next((key for key in here.value if key not in allowed), None)
                if extra is not None:
                    hint = nearest(extra, allowed)
                    self.report.at_key(here.at(extra), "unknown-key", text, value=extra, hint=hint)
                    return
                break
        self.report.at(here, "bad-value", text)


def top_expressions(spot: Spot) -> Iterator[Spot]:
    """Every expression of a ``set:`` that is relative to the document itself: those not inside a list."""
    try:
        uses = list(referenced_expressions(spot.value))
    except MappingError:
        return  # has its finding where the mapping is checked
    yield from (spot.at(*use.pointer) for use in uses if not use.scope)
