"""A contract as a tree that people read: each field with its type, its rules and its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

DEEPEST = 12  # levels; a schema may refer to itself
_RULES = (
    ("const", "is {}"), ("enum", "one of {}"), ("pattern", "matches {}"), ("format", "{}"), ("minimum", "at least {}"),
    ("maximum", "at most {}"), ("exclusiveMinimum", "above {}"), ("exclusiveMaximum", "below {}"),
    ("multipleOf", "a multiple of {}"), ("minLength", "{} or more characters"), ("maxLength", "at most {} characters"),
    ("minItems", "{} or more elements"), ("maxItems", "at most {} elements"), ("default", "default {}"),
)  # fmt: skip


Path = tuple[str, ...]


class Field(msgspec.Struct, frozen=True):
    """One line of the tree. ``ref``: another contract that it is; ``masked``: its value is shown nowhere."""

    depth: int
    name: str
    type: str
    required: bool
    rules: str = ""
    text: str = ""
    ref: str = ""
    masked: bool = False


def fields_of(schema: Mapping[str, Any], masked: tuple[str, ...] = ()) -> list[Field]:
    """The fields of a contract, the outer before the inner.

    Args:
        schema: the JSON Schema.
        masked: dotted paths whose values are masked, an element of a list as ``[]`` or ``*``.
    """
    return list(_fields(schema, schema, 0, _paths(masked), ()))


def _paths(masked: tuple[str, ...]) -> frozenset[Path]:
    words = (path.replace("[]", "").replace("[*]", "").replace(".*", "").strip("$.") for path in masked)
    return frozenset(tuple(part for part in word.replace("/", ".").split(".") if part) for word in words)


def _fields(
    part: Mapping[str, Any],
    whole: Mapping[str, Any],
    depth: int,
    masked: frozenset[Path],
    at: Path,
) -> Iterator[Field]:
    part = _resolved(part, whole)
    required = part.get("required") or ()
    for name, raw in (part.get("properties") or {}).items():
        here, ref = (*at, name), _sibling(raw)
        value = _resolved(raw, whole)
        yield _field(name, value, depth, name in required, ref, here in masked, whole)
        if depth < DEEPEST and not ref:
            yield from _fields(_element(value, whole), whole, depth + 1, masked, here)
    for word in ("oneOf", "anyOf", "allOf"):
        for number, choice in enumerate(part.get(word) or (), 1):
            if isinstance(choice, Mapping) and depth < DEEPEST:
                yield Field(depth, f"{word} {number}", "", False, ref=_sibling(choice))
                yield from _fields(choice, whole, depth + 1, masked, at)


def _field(
    name: str, value: Any, depth: int, required: bool, ref: str, masked: bool, whole: Mapping[str, Any]
) -> Field:
    value = value if isinstance(value, Mapping) else {}
    element = value.get("items")
    if isinstance(element, Mapping):
        value = {**value, "items": _resolved(element, whole)}
    text = str(value.get("description") or value.get("title") or "")
    inner = _sibling(element) if isinstance(element, Mapping) else ""
    return Field(depth, name, _type(value), required, _rules(value), text, ref or inner, masked)


def _type(value: Mapping[str, Any]) -> str:
    kind = value.get("type")
    word = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind or "")
    items = value.get("items")
    if word == "array" and isinstance(items, Mapping):
        return f"list of {_type(items) or ('' if _sibling(items) else 'anything')}".rstrip()
    return word or ("choice" if {"oneOf", "anyOf"} & value.keys() else "")


def _rules(value: Mapping[str, Any]) -> str:
    found = [text.format(_shown(value[word])) for word, text in _RULES if word in value]
    if value.get("uniqueItems"):
        found.append("no element twice")
    if value.get("additionalProperties") is False:
        found.append("no other fields")
    return ", ".join(found)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _element(value: Any, whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """What lies inside a value: an object's own fields, or those of a list's elements."""
    items = value.get("items") if isinstance(value, Mapping) else None
    inner = items if isinstance(items, Mapping) else value if isinstance(value, Mapping) else {}
    return {} if _sibling(inner) else _resolved(inner, whole)


def _sibling(part: Any) -> str:
    """The other contract that a part refers to, or nothing."""
    ref = part.get("$ref", "") if isinstance(part, Mapping) else ""
    return ref.removeprefix("esb:").partition("#")[0] if isinstance(ref, str) and not ref.startswith("#") else ""


def _resolved(part: Any, whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``#/$defs/line`` stands for; a few hops at most, for one may lead to itself."""
    for _ in range(DEEPEST):
        ref = part.get("$ref") if isinstance(part, Mapping) else None
        if not isinstance(ref, str) or not ref.startswith("#/"):
            break
        found: Any = whole
        for word in ref[2:].split("/"):
            found = found.get(word.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
        part = {**found, **{key: value for key, value in part.items() if key != "$ref"}}
    return part if isinstance(part, Mapping) else {}
