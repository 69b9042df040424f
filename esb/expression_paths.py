"""What an expression reads, found without running it: field paths, functions and variables, with their offsets.

Walks the syntax tree of ``jsonata-python``, the second engine, because the first neither shows its tree nor says
where a syntax error is. When in doubt a path is left out: a false finding is worse than a missed one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from esb.quoting import quote


class PathUse(msgspec.Struct, frozen=True):
    """A field path that an expression reads.

    ``path`` starts at the document, or at ``variable`` (``$parent.id`` is ``("id",)`` of ``parent``). ``offsets``
    are where each name stands in the text. ``asked``: it decides about the result and is not in it.
    """

    path: tuple[str, ...]
    offsets: tuple[int, ...]
    variable: str = ""
    asked: bool = False

    @property
    def offset(self) -> int:
        """Where the last name stands."""
        return self.offsets[-1]

    @property
    def text(self) -> str:
        """As one writes it: ``customer.country``, ``$parent.id``."""
        return ".".join((f"${self.variable}", *self.path) if self.variable else self.path)


class NameUse(msgspec.Struct, frozen=True):
    """A ``$name`` that the expression does not define itself: a function when ``call``, else a variable."""

    name: str
    offset: int
    call: bool


class SyntaxFault(msgspec.Struct, frozen=True):
    """Why an expression cannot be parsed, and the offset of the place."""

    text: str
    offset: int


def paths(text: str) -> list[PathUse]:
    """The field paths an expression reads, in the order they stand; none for one that cannot be parsed."""
    return _walk(text).paths


def readings(text: str, roots: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an expression finds at the paths it reads, in the order they stand, each once: ``("cc", '"GB"')``.

    Args:
        text: the expression.
        roots: what paths start from, by variable: the document under "", ``$parent`` under "parent" …
    """
    found = {use.text: _found(roots[use.variable], use.path) for use in paths(text) if use.variable in roots}
    return list(found.items())


def _found(value: Any, path: tuple[str, ...]) -> str:
    for name in path:
        if isinstance(value, list):
            value = [item[name] for item in value if isinstance(item, Mapping) and name in item]
        elif isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            return "missing"
    return quote(value, 60)


def names(text: str) -> list[NameUse]:
    """The functions and variables an expression uses but does not define; none for one that cannot be parsed."""
    return _walk(text).names


def syntax_error(text: str) -> SyntaxFault | None:
    """What is wrong with the expression's syntax, or None (as the second engine sees it)."""
    from jsonata.jexception import JException

    try:
        _parse(text)
    except JException as error:
        offset = min(max(error.location - 1, 0), max(len(text) - 1, 0))
        return SyntaxFault(re.sub(r"^[A-Z]\d{4}:\s*", "", str(error)), offset)
    except Exception as error:  # the parser also fails with plain errors of Python on some malformed texts
        return SyntaxFault(f"it cannot be parsed ({error})", 0)
    return None


def syntax_tree(text: str) -> Any:
    """The tree as the second engine has it; None for what cannot be parsed."""
    try:
        return _parse(text)
    except Exception:  # syntax_error() tells why
        return None


def is_bare_path(text: str) -> str | None:
    """The name, when the whole expression is one bare word (``GBP``): a path that may have been meant as text."""
    word = text.strip()
    plain = re.fullmatch(r"[^\W\d]\w*", word) and word not in ("true", "false", "null", "and", "or", "in")
    return word if plain else None


@cache
def builtins() -> frozenset[str]:
    """The names of JSONata's own functions, without ``$``."""
    from jsonata import Jsonata

    return frozenset(Jsonata("1").environment.parent.bindings)


def _parse(text: str) -> Any:
    limit = sys.getrecursionlimit()
    from jsonata.parser import Parser

    sys.setrecursionlimit(limit)  # the library raises it for everybody when it is imported
    return Parser().parse(text)


def _walk(text: str) -> _Walk:
    walk = _Walk(text)
    tree = syntax_tree(text)
    if tree is not None:
        walk.visit(tree, _Place(), {})
    walk.paths.sort(key=lambda use: use.offset)
    return walk


class _Place(msgspec.Struct, frozen=True):
    """A value known to lie at this path; ``None`` stands for a value of unknown origin."""

    path: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()
    variable: str = ""


_Scope = dict[str, "_Place | None"]
_KEEPS_PLACE = frozenset({"filter", "sort", "reverse", "distinct", "single"})
_TAKES_ELEMENT = frozenset({"map", "filter", "single", "sort", "reduce"})
_ASKS = frozenset({"exists", "boolean", "not", "count", "contains", "type"})
_COMPARES = frozenset({"=", "!=", "<", "<=", ">", ">=", "in", "and", "or"})


class _Walk:
    """One walk over a tree (a visitor): collects uses, carries the place of the context value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.paths: list[PathUse] = []
        self.names: list[NameUse] = []
        self._asking = 0  # how many questions there are around the node

    def visit(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        """Collect from a node evaluated at ``here``; the place of its value."""
        if node is None:
            return None
        method = getattr(self, f"_{node.type}", None)
        place = method(node, here, scope) if method else None
        return self._qualified(node, place, scope)

    def _ask(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        """Visit what only decides."""
        self._asking += 1
        place = self.visit(node, here, scope)
        self._asking -= 1
        return place

    def _qualified(self, node: Any, place: _Place | None, scope: _Scope) -> _Place | None:
        for stage in [*(node.predicate or ()), *(node.stages or ())]:
            if stage.type == "filter":
                self._ask(stage.expr, place, scope)
            else:
                scope[stage.value] = None
        if node.group is not None:
            self._pairs(node.group.lhs_object, place, scope)
            return None
        return place

    def _path(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        place, reported = here, len(self.paths)
        for step in node.steps:
            before = place
            place = self.visit(step, place, scope)
            if getattr(step, "index", None):
                scope[step.index] = None
            if getattr(step, "focus", None):
                scope[step.focus] = place
                place = before
        if node.steps[-1].type in ("name", "string"):
            self._drop_prefixes(reported, place)
        return place

    def _drop_prefixes(self, start: int, place: _Place | None) -> None:
        """``a.b.c`` is one use, not three; what predicates read stays."""
        if place is not None:
            self.paths[start:] = [
                use
                for use in self.paths[start:]
                if use.offsets == place.offsets or use.offsets != place.offsets[: len(use.offsets)]
            ]

    def _name(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        if here is None:
            return None
        name = str(node.value)
        place = _Place((*here.path, name), (*here.offsets, self._start(node, name)), here.variable)
        self.paths.append(PathUse(place.path, place.offsets, place.variable, self._asking > 0))
        return place

    def _start(self, node: Any, word: str) -> int:
        start = node.position - len(word)
        if self.text[start : node.position] == word:
            return start
        return max(self.text.rfind(word, 0, node.position), 0)  # in quotes or backticks

    def _variable(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        name = str(node.value)
        if name == "":
            return here
        if name == "$":
            return _Place()
        if name in scope:
            return scope[name]
        self.names.append(NameUse(name, self._start(node, "$" + name), False))
        return _Place(variable=name)

    def _sort(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        for term in node.terms:
            self._ask(term.expression, here, scope)
        return here

    def _binary(self, node: Any, here: _Place | None, scope: _Scope) -> None:
        visit = self._ask if node.value in _COMPARES else self.visit
        visit(node.lhs, here, scope)
        visit(node.rhs, here, scope)

    def _unary(self, node: Any, here: _Place | None, scope: _Scope) -> None:
        for item in getattr(node, "expressions", None) or ():
            self.visit(item, here, scope)
        self._pairs(getattr(node, "lhs_object", None), here, scope)
        self.visit(getattr(node, "expression", None), here, scope)

    def _pairs(self, pairs: Any, here: _Place | None, scope: _Scope) -> None:
        for key, value in pairs or ():
            self.visit(key, here, scope)
            self.visit(value, here, scope)

    def _function(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        return self._call(node, [], here, scope)

    _partial = _function

    def _call(self, node: Any, given: list[_Place | None], here: _Place | None, scope: _Scope) -> _Place | None:
        """``given`` are places of arguments that come from the left of ``~>``."""
        name = self._called(node.procedure, here, scope)
        places = list(given)
        for argument in node.arguments:
            if argument.type == "lambda":
                element = places[0] if places and name in _TAKES_ELEMENT else None
                self._lambda(argument, here, scope, element, both=name == "sort")
                places.append(None)
            else:
                visit = self._ask if name in _ASKS else self.visit
                places.append(visit(argument, here, scope))
        return places[0] if places and name in _KEEPS_PLACE else None

    def _called(self, procedure: Any, here: _Place | None, scope: _Scope) -> str:
        if procedure.type != "variable":
            self.visit(procedure, here, scope)
            return ""
        name = str(procedure.value)
        if name in scope:
            return ""
        self.names.append(NameUse(name, self._start(procedure, "$" + name), True))
        return name

    def _apply(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        left = self.visit(node.lhs, here, scope)
        if node.rhs.type == "function":
            return self._call(node.rhs, [left], here, scope)
        if node.rhs.type == "variable":
            self._called(node.rhs, here, scope)
        else:
            self.visit(node.rhs, left if node.rhs.type == "transform" else here, scope)
        return None

    def _lambda(
        self, node: Any, here: _Place | None, scope: _Scope, element: _Place | None = None, *, both: bool = False
    ) -> None:
        parameters = [str(argument.value) for argument in node.arguments]
        inner: _Scope = {**scope, **dict.fromkeys(parameters)}
        for parameter in parameters[: 2 if both else 1]:
            inner[parameter] = element
        self.visit(node.body, here, inner)

    def _condition(self, node: Any, here: _Place | None, scope: _Scope) -> None:
        self._ask(node.condition, here, scope)
        for part in (node.then, getattr(node, "_else", None)):
            self.visit(part, here, scope)

    def _block(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        inner, place = dict(scope), None
        for part in node.expressions:
            place = self.visit(part, here, inner)
        return place

    def _bind(self, node: Any, here: _Place | None, scope: _Scope) -> _Place | None:
        name = str(node.lhs.value)
        scope.setdefault(name, None)  # a lambda may call itself
        scope[name] = self.visit(node.rhs, here, scope)
        return scope[name]

    def _transform(self, node: Any, here: _Place | None, scope: _Scope) -> None:
        place = self.visit(node.pattern, None if here == _Place() else here, scope)
        self.visit(node.update, place, scope)
