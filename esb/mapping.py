"""Mappings: how one document becomes another. The target's shape as a tree, an expression at each leaf.

A tree is read by :func:`parse` once (what each node means is decided there and nowhere else) and compiled to nested
closures. What a leaf can be:

* text: a JSONata expression; nothing or null leaves the field out
* a number, a truth value, null, or ``{const: X}``: itself
* ``{from: expression, default: X, required: true}``
* ``{each: expression, set: …}``: a list, one element for each; paths start at the element, ``$parent`` is the document
* any other object: an object of such, left out when nothing is in it; ``{set: {…}}`` says so for fields named ``from``
* a list: a list of such
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec

from esb.errors import ExpressionError, MappingError
from esb.expression import Data, Expression
from esb.expression_paths import readings
from esb.expression_plain import MISSING, Plain, Unsure
from esb.quoting import quote

Pointer = tuple[str | int, ...]  # from the ``set`` tree to a node, as keys and indexes
Bindings = abc.Mapping[str, Any]
Function = Callable[..., Any]
Build = Callable[[Data, Bindings], Any]

NOTHING = object()  # what a part of the target is that is to be left out
_EMPTY: abc.Mapping[Any, Any] = MappingProxyType({})
_WORDS = MappingProxyType(
    {
        "const": frozenset({"const"}),
        "each": frozenset({"each", "set", "required"}),
        "from": frozenset({"from", "default", "required"}),
    }
)


class LookupMiss(ExpressionError):  # noqa: N818 - the word for it
    """A lookup table has no row for a key."""


def lookup(name: str, table: abc.Mapping[str, Any]) -> Function:
    """A table as a function: ``$countries(code)``. Keys are text; nothing gives nothing; a miss is an error."""

    def find(key: Any = None) -> Any:
        if key is None:
            return None
        text = key if type(key) is str else quote(key)
        try:
            value = table[text]
        except KeyError:
            raise LookupMiss(f"the lookup {name} has no row for {quote(text)}") from None
        return dict(value) if isinstance(value, abc.Mapping) else value

    return find


class Mapping:
    """A mapping, compiled. Pure, and may be shared by threads.

    Args:
        name: for errors.
        set: the tree, see the module.
        source: the contract it reads, for whoever asks.
        target: the contract it writes.
        lookups: tables by function name.
        lines: where each node stands in ``file``, by its pointer in the tree.
        file: for errors.

    Raises:
        MappingError: the tree, or an expression in it, is wrong.
    """

    def __init__(
        self,
        name: str,
        set: Any,
        *,
        source: str | None = None,
        target: str | None = None,
        lookups: abc.Mapping[str, abc.Mapping[str, Any]] = _EMPTY,
        lines: abc.Mapping[Pointer, int] = _EMPTY,
        file: str = "",
    ) -> None:
        self.name = name
        self.source = source
        self.target = target
        self._where = partial(_where, file or f"mapping {name}", lines)
        self._functions = {word: lookup(word, table) for word, table in lookups.items()}
        self._build = self._compile(self._parsed(set), "", keep_empty=True)

    def apply(self, data: Data, bindings: Bindings | None = None) -> Any:
        """The new document.

        Args:
            data: the document it is made from.
            bindings: variables for the expressions (``message``).

        Raises:
            MappingError: a leaf failed; names file and line, the leaf, its expression and the values it read.
        """
        try:
            return self._build(data, bindings or _EMPTY)
        except _Fault as fault:
            leaf = fault.leaf()
            where = self._where(fault.node.pointer)
            raise MappingError(f"{where}: {leaf}: {fault.reason}{fault.at_hand()}", leaf, where) from fault.__cause__

    def _parsed(self, tree: Any) -> Node:
        try:
            return parse(tree)
        except MappingError as error:
            raise MappingError(f"{self._where(())}: {error}", error.leaf, self._where(())) from error

    def _compile(self, node: Node, path: str, *, keep_empty: bool = False) -> Build:
        """A closure that builds this node's part of the target; ``NOTHING`` when it is to be left out."""
        match node:
            case Constant(value=value):
                return _constant(value)
            case Leaf():
                return _leaf(node, path, self._expression(node, path))
            case Each():
                body = self._compile(node.body, f"{path}[*]", keep_empty=True)
                return _each(node, path, self._expression(node, path).evaluate, body)
            case Fields():
                front = f"{path}." if path else ""
                return _fields([(key, self._compile(child, front + key)) for key, child in node.fields], keep_empty)
            case Items():
                return _items([self._compile(child, f"{path}[{n}]") for n, child in enumerate(node.items)])

    def _expression(self, node: Leaf | Each, path: str) -> Expression:
        needed = {name: found for name, found in self._functions.items() if f"${name}" in node.text}
        try:
            return Expression(node.text, needed)
        except ExpressionError as error:
            where = self._where(node.pointer)
            raise MappingError(f"{where}: {path}: {error}", path, where) from error


class _Fault(Exception):  # noqa: N818 - on its way to become a MappingError that knows the indexes around the leaf
    def __init__(self, node: Leaf | Each, path: str, reason: str, data: Data, bindings: Bindings) -> None:
        super().__init__(reason)
        self.node = node
        self.path = path
        self.reason = reason
        self.indexes: list[int] = []  # innermost first
        self._roots = {"": data.document, "parent": bindings.get("parent")}

    def leaf(self) -> str:
        """``lines[2].sku``."""
        front, *rest = self.path.split("[*]")
        return front + "".join(f"[{n}]{part}" for n, part in zip(reversed(self.indexes), rest, strict=False))

    def at_hand(self) -> str:
        """The first three values that the expression read: usually one of them is the culprit."""
        known = [f"{path} is {value}" for path, value in readings(self.node.text, self._roots)[:3]]
        return f" ({', '.join(known)})" if known else ""


def _where(file: str, lines: abc.Mapping[Pointer, int], pointer: Pointer) -> str:
    """``file:line`` of a node, or of the nearest one around it whose line is known."""
    for end in range(len(pointer), -1, -1):
        if pointer[:end] in lines:
            return f"{file}:{lines[pointer[:end]]}"
    return file


def _constant(value: Any) -> Build:
    if isinstance(value, dict | list):
        return lambda data, bindings: deepcopy(value)
    return lambda data, bindings: value


class _Quick:
    """A leaf whose value ``plain`` tells by the document alone, nearly always; called, it takes every case."""

    __slots__ = ("_build", "plain")

    def __init__(self, build: Build, plain: Plain) -> None:
        self._build = build
        self.plain = plain

    def __call__(self, data: Data, bindings: Bindings) -> Any:
        return self._build(data, bindings)


def _leaf(node: Leaf, path: str, expression: Expression) -> Build:
    default = _constant(node.default[0]) if node.default else None
    evaluate = expression.evaluate

    def build(data: Data, bindings: Bindings) -> Any:
        try:
            value = evaluate(data, bindings)
        except ExpressionError as error:
            if default and isinstance(error.__cause__, LookupMiss):
                return default(data, bindings)
            raise _Fault(node, path, str(error), data, bindings) from error
        if value is not None:
            return value
        if default:
            return default(data, bindings)
        if node.required:
            raise _Fault(node, path, f"expression `{node.text}` gives nothing, and it is required", data, bindings)
        return NOTHING

    plain = expression.quick
    return build if plain is None else _Quick(build, plain)


def _each(node: Each, path: str, evaluate: Callable[..., Any], body: Build) -> Build:
    def build(data: Data, bindings: Bindings) -> Any:
        try:
            found = evaluate(data, bindings)
        except ExpressionError as error:
            raise _Fault(node, path, str(error), data, bindings) from error
        elements = found if type(found) is list else [] if found is None else [found]
        if node.required and not elements:
            raise _Fault(node, path, f"expression `{node.text}` gives nothing, and it is required", data, bindings)
        return _elements(elements, body, {**bindings, "parent": data.document})

    return build


def _elements(elements: list[Any], body: Build, bindings: Bindings) -> list[Any]:
    result = []
    for index, element in enumerate(elements):
        try:
            value = body(Data(element), bindings)
        except _Fault as fault:
            fault.indexes.append(index)
            raise
        if value is not NOTHING:
            result.append(value)
    return result


def _fields(fields: list[tuple[str, Build]], keep_empty: bool) -> Build:
    """The innermost loop of mapping, hence one call for most leaves."""
    parts = [(key, part.plain if isinstance(part, _Quick) else None, part) for key, part in fields]

    def build(data: Data, bindings: Bindings) -> Any:
        document, result = data.document, {}
        for key, plain, part in parts:
            value = None
            if plain is not None:
                try:
                    value = plain(document)
                except (Unsure, ExpressionError):  # the leaf knows, or fails with all that there is to say
                    pass
            if value is None or value is MISSING:
                value = part(data, bindings)
                if value is NOTHING:
                    continue
            result[key] = value
        return result if result or keep_empty else NOTHING

    return build


def _items(items: list[Build]) -> Build:
    def build(data: Data, bindings: Bindings) -> Any:
        return [value for part in items if (value := part(data, bindings)) is not NOTHING]

    return build


# --- the tree -----------------------------------------------------------------------------------------------------


class Constant(msgspec.Struct, frozen=True):
    """A value that does not depend on the document."""

    pointer: Pointer
    value: Any


class Leaf(msgspec.Struct, frozen=True):
    """An expression, and what holds when it gives nothing. ``default`` is wrapped in a tuple: () means none."""

    pointer: Pointer
    text: str
    default: tuple[Any, ...] = ()
    required: bool = False


class Each(msgspec.Struct, frozen=True):
    """A list made of the elements that an expression gives."""

    pointer: Pointer
    text: str
    body: Node
    required: bool = False


class Fields(msgspec.Struct, frozen=True):
    """An object."""

    pointer: Pointer
    fields: tuple[tuple[str, Node], ...]


class Items(msgspec.Struct, frozen=True):
    """A list written out."""

    pointer: Pointer
    items: tuple[Node, ...]


Node = Constant | Leaf | Each | Fields | Items


class Use(msgspec.Struct, frozen=True):
    """An expression in a mapping. Its paths start at an element of the last ``each`` in ``scope`` (outermost first)."""

    pointer: Pointer
    text: str
    scope: tuple[str, ...] = ()


def parse(tree: Any, pointer: Pointer = ()) -> Node:
    """What a ``set`` tree means. Raises ``MappingError`` (with the leaf) for an object that means nothing."""
    if isinstance(tree, str):
        return Leaf(pointer, tree)
    if isinstance(tree, list | tuple):
        return Items(pointer, tuple(parse(item, (*pointer, n)) for n, item in enumerate(tree)))
    if not isinstance(tree, abc.Mapping):
        return Constant(pointer, tree)
    for word, allowed in _WORDS.items():
        if word in tree:
            return _leaf_object(word, tree, pointer, allowed)
    if tree.keys() == {"set"} and isinstance(tree["set"], abc.Mapping):
        tree, pointer = tree["set"], (*pointer, "set")
    return Fields(pointer, tuple((key, parse(value, (*pointer, key))) for key, value in tree.items()))


def referenced_expressions(tree: Any) -> Iterator[Use]:
    """Every expression of a ``set`` tree, in order, without compiling any. Raises ``MappingError`` as :func:`parse`."""
    return _uses(parse(tree), ())


def _leaf_object(word: str, tree: abc.Mapping[str, Any], pointer: Pointer, allowed: frozenset[str]) -> Node:
    extra = [key for key in tree if key not in allowed]
    if extra:
        raise MappingError(
            f"{_path(pointer)}: {extra[0]} does not go with {word}, which takes {', '.join(sorted(allowed))}; "
            f"an object with a field named {word} is written {{set: {{…}}}}",
            leaf=_path(pointer),
        )
    if word == "const":
        return Constant(pointer, tree["const"])
    text, required = tree[word], tree.get("required", False)
    if not isinstance(text, str) or not isinstance(required, bool):
        raise MappingError(
            f"{_path(pointer)}: {word} is an expression (text), required is true or false", _path(pointer)
        )
    if word == "from":
        return Leaf((*pointer, "from"), text, (tree["default"],) if "default" in tree else (), required)
    if "set" not in tree:
        raise MappingError(f"{_path(pointer)}: each needs set, the shape of one element", leaf=_path(pointer))
    return Each((*pointer, "each"), text, parse(tree["set"], (*pointer, "set")), required)


def _uses(node: Node, scope: tuple[str, ...]) -> Iterator[Use]:
    if isinstance(node, Leaf | Each):
        yield Use(node.pointer, node.text, scope)
    if isinstance(node, Each):
        yield from _uses(node.body, (*scope, node.text))
    if isinstance(node, Fields):
        for _, child in node.fields:
            yield from _uses(child, scope)
    if isinstance(node, Items):
        for child in node.items:
            yield from _uses(child, scope)


def _path(pointer: Pointer) -> str:
    return ".".join(str(part) for part in pointer) or "set"
