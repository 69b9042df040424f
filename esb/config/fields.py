"""Which fields a contract knows: JSON Schema read as the shape of a document.

For the checker only; validation is the contract's. An object that lists ``properties`` counts as closed unless it says
``additionalProperties: true`` (or a schema), because a path it does not list is nearly always a slip. What cannot be
told (an object without properties, an unresolvable ``$ref``) is open: nothing below it is ever a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from esb.mapping import Each, Fields
from esb.mapping import Node as LeafNode
from esb.masking import Tree, beneath, both, mask_of

_SIBLING = re.compile(r"(?:esb:)?([A-Za-z][\w.-]*/v[1-9]\d*)(#.*)?")
_COMBINED = ("allOf", "anyOf", "oneOf")
_BRANCHES = ("then", "else")


class Node(msgspec.Struct, frozen=True):
    """A schema, and the contract that its local references belong to."""

    schema: Any
    ref: str


class Missing(msgspec.Struct, frozen=True):
    """A path that leads nowhere: which of its names failed, and the names there are in that place."""

    index: int
    known: tuple[str, ...]


class View(msgspec.Struct, frozen=True):
    """What is known of a document (or a part of it): any of some schemas; and what of it contracts hide."""

    nodes: tuple[Node, ...]
    schemas: Mapping[str, Any]
    ref: str  # of the contract, for sentences
    hidden: Tree | None = None

    def find(self, path: tuple[str, ...]) -> View | Missing | None:
        """The view at a path; None when the contract leaves it open. Lists are looked through, as JSONata does."""
        view = self
        for index, name in enumerate(path):
            found, known, is_open = view._step(name)
            if not found:
                return None if is_open else Missing(index, tuple(sorted(known)))
            view = View(tuple(found), self.schemas, self.ref, beneath(view.hidden, (name,)))
        return view

    def element(self) -> View | None:
        """Inside a list; a value that is no list stands for itself."""
        flat = list(self.flat())
        inside = [node for one in flat for node in _items(one)]
        return View(tuple(inside), self.schemas, self.ref, self.hidden) if inside else self

    def fields(self) -> dict[str, View]:
        """What is known of each field by its name. Lists are looked through."""
        found: dict[str, list[Node]] = {}
        for node in self._through_lists():
            schema = node.schema if isinstance(node.schema, dict) else {}
            for name, below in schema.get("properties", {}).items():
                found.setdefault(name, []).append(Node(below, node.ref))
        return {name: View(tuple(nodes), self.schemas, self.ref) for name, nodes in found.items()}

    def and_also(self, name: str, ref: str | None) -> View:
        """The same with one more field, which meets the contract ``ref`` (None: nothing is known of it)."""
        more = hidden_in(ref, self.schemas) if ref else None
        shape = {"properties": {name: {"$ref": f"esb:{ref}"} if ref else {}}}
        return self.with_shape(shape, None if more is None else {name: more})

    def with_shape(self, schema: Mapping[str, Any], hidden: Tree | None = None) -> View:
        """The same, and what ``schema`` says of the document besides; and what is hidden besides."""
        return View((*self.nodes, Node(schema, self.ref)), self.schemas, self.ref, both(self.hidden, hidden))

    def required(self) -> tuple[str, ...]:
        """The fields that must be there, when that is certain."""
        flat = [node for node in self.flat() if isinstance(node.schema, dict)]
        if any(key in node.schema for node in flat for key in ("anyOf", "oneOf")):
            return ()
        return tuple(dict.fromkeys(name for node in flat for name in node.schema.get("required", ())))

    def _step(self, name: str) -> tuple[list[Node], set[str], bool]:
        found: list[Node] = []
        known: set[str] = set()
        is_open = False
        for node in self._through_lists():
            schema = node.schema
            properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
            known.update(properties)
            if name in properties:
                found.append(Node(properties[name], node.ref))
            else:
                found += _additional(node)
            is_open = is_open or _is_open(schema)
        return found, known, is_open

    def _through_lists(self) -> Iterator[Node]:
        waiting = list(self.flat())
        for _ in range(1000):  # lists of lists of themselves end somewhere
            if not waiting:
                return
            node = waiting.pop(0)
            inside = _items(node)
            yield node
            if inside:
                waiting.extend(View(tuple(inside), self.schemas, self.ref).flat())

    def flat(self) -> Iterator[Node]:
        """The schemas with every reference followed and every combination opened."""
        waiting, seen = list(self.nodes), set()
        while waiting:
            node = waiting.pop(0)
            if id(node.schema) in seen:
                continue
            seen.add(id(node.schema))
            yield node
            if isinstance(node.schema, dict):
                waiting.extend(self._below(node))

    def _below(self, node: Node) -> Iterator[Node]:
        schema = node.schema
        if isinstance(schema.get("$ref"), str):
            yield self._target(schema["$ref"], node.ref)
        for word in _COMBINED:
            yield from (Node(part, node.ref) for part in schema.get(word, ()))
        yield from (Node(schema[word], node.ref) for word in _BRANCHES if word in schema)

    def _target(self, reference: str, ref: str) -> Node:
        match = _SIBLING.fullmatch(reference)
        name, fragment = (match[1], match[2] or "#") if match else (ref, reference)
        schema: Any = self.schemas.get(name, {})
        if fragment != "#" and not fragment.startswith("#/"):
            return Node({}, name)
        for part in fragment.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            schema = schema.get(key, {}) if isinstance(schema, dict) else {}
        return Node(schema, name)


def view_of(ref: str | None, schemas: Mapping[str, Any]) -> View | None:
    """The view of a whole contract; None where there is none, or it is broken."""
    if ref is None or not schemas.get(ref):
        return None
    return View((Node(schemas[ref], ref),), schemas, ref, hidden_in(ref, schemas))


def hidden_in(ref: str, schemas: Mapping[str, Any]) -> Tree | None:
    """What a contract hides, as far as its masks can be read: what is wrong with them has its finding elsewhere."""
    try:
        return mask_of(ref, schemas.get(ref), schemas).tree
    except ValueError:
        return None


def either(one: View | None, other: View | None) -> View | None:
    """What is known where it may be one or the other: of one of which nothing is known, only what the other hides."""
    if one is None or other is None:
        known = one or other
        return blank(known.schemas, known.ref, known.hidden) if known and known.hidden is not None else None
    nodes = (*one.nodes, *(node for node in other.nodes if node not in one.nodes))
    return View(nodes, one.schemas, one.ref, both(one.hidden, other.hidden))


def blank(schemas: Mapping[str, Any], ref: str = "the document", hidden: Tree | None = None) -> View:
    """Of a document of which nothing is claimed, but perhaps what is hidden in it."""
    return View((Node({}, ref),), schemas, ref, hidden)


def shape_of(node: LeafNode) -> dict[str, Any]:
    """What a tree of leaves makes, as a schema: its fields and lists are known, the values at the leaves are not."""
    if isinstance(node, Fields):
        return {"type": "object", "properties": {name: shape_of(child) for name, child in node.fields}}
    if isinstance(node, Each):
        return {"type": "array", "items": shape_of(node.body)}
    return {}


def _items(node: Node) -> list[Node]:
    schema = node.schema if isinstance(node.schema, dict) else {}
    inside = [Node(schema["items"], node.ref)] if isinstance(schema.get("items"), dict) else []
    return inside + [Node(part, node.ref) for part in schema.get("prefixItems", ())]


def _additional(node: Node) -> list[Node]:
    schema = node.schema if isinstance(node.schema, dict) else {}
    extra = schema.get("additionalProperties")
    return [Node(extra, node.ref)] if isinstance(extra, dict) else []


def _is_open(schema: Any) -> bool:
    """Whether a schema lets in fields that it does not name."""
    if not isinstance(schema, dict):
        return schema is True
    if schema.get("additionalProperties") is True or schema.get("patternProperties"):
        return True  # patterns are not tried: no backtracking regex runs on a schema
    says_more = any(word in schema for word in ("properties", "$ref", *_COMBINED, *_BRANCHES, "items", "const", "enum"))
    kinds = schema.get("type", "object")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds and schema.get("items", True) is True and "prefixItems" not in schema:
        return True
    has_objects = "object" in kinds
    return has_objects and not says_more and schema.get("additionalProperties") is not False
