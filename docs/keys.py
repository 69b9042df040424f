"""Settings models as Markdown tables: a row a key, nested models with dotted keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel

from esb.units import duration_text

Schema = dict[str, Any]
Row = tuple[str, str, str, str]  # key, type, default, description

_SKIPPED = "InlineMapping"  # has a section of its own
_SIZES = (("GB", 1024**3), ("MB", 1024**2), ("KB", 1024))


def table(model: type[BaseModel], closed: Collection[str] = ()) -> str:
    """The keys of a model as a table; empty where it takes none. Those in ``closed`` are not looked into."""
    found = rows(model, closed)
    if not found:
        return ""
    head = ["| key | type | default | what it says |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in found)])


def rows(model: type[BaseModel], closed: Collection[str] = ()) -> list[Row]:
    """The same as rows."""
    schema = model.model_json_schema(by_alias=True)
    return list(dict.fromkeys(_Walk(schema.get("$defs", {}), closed).rows(schema, "")))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


class _Walk:
    def __init__(self, defs: dict[str, Schema], closed: Collection[str]) -> None:
        self.defs = defs
        self.closed = closed

    def rows(self, schema: Schema, prefix: str) -> Iterator[Row]:
        """One row a key, and behind it the rows of the model that it holds."""
        for owner in self._objects(schema):
            for name, part in owner["properties"].items():
                key = f"{prefix}{name}"
                required = name in owner.get("required", ())
                yield f"`{key}`", self._type(part), "*required*" if required else _default(part), self._about(part)
                if key not in self.closed:
                    yield from self._below(part, key)

    def _below(self, part: Schema, key: str) -> Iterator[Row]:
        for inner in self._variants(part):
            if inner.get("type") == "array":
                yield from self._below(inner.get("items", {}), f"{key}[]")
            elif isinstance(inner.get("additionalProperties"), dict):
                yield from self._below(inner["additionalProperties"], f"{key}.<name>")
            elif "properties" in inner:
                yield from self.rows(inner, f"{key}.")

    def _objects(self, schema: Schema) -> Iterator[Schema]:
        """The schemas with keys that a value may have: through references, alternatives and lists."""
        for one in self._variants(schema):
            if one.get("type") == "array":
                yield from self._objects(one.get("items", {}))
                return
            if "properties" in one:
                yield one

    def _variants(self, schema: Schema) -> Iterator[Schema]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name != _SKIPPED:
                yield from self._variants(self.defs[name])
        elif "anyOf" in schema or "oneOf" in schema:
            for one in schema.get("anyOf") or schema["oneOf"]:
                yield from self._variants(one)
        else:
            yield schema

    def _about(self, part: Schema) -> str:
        text = part.get("description") or next((s.get("description", "") for s in self._variants(part)), "")
        return text.replace("``", "`")

    def _type(self, part: Schema) -> str:
        if part.get("x-steps"):
            return "steps"
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            return "mapping in place" if name == _SKIPPED else self._type(self.defs[name])
        options = part.get("anyOf") or part.get("oneOf")
        if options:
            return _alternatives([self._type(one) for one in options], options)
        return self._plain(part)

    def _plain(self, part: Schema) -> str:
        kind = part.get("type")
        if "enum" in part:
            return " or ".join(f"`{word}`" for word in part["enum"])
        if "const" in part:
            return f"`{str(part['const']).lower()}`"
        if kind == "array":
            return f"list of {self._type(part.get('items', {}))}"
        if kind == "object":
            inner = part.get("additionalProperties")
            return f"mapping of names to {self._type(inner)}" if isinstance(inner, dict) else "mapping"
        return _scalar(part)


def _alternatives(words: list[str], options: list[Schema]) -> str:
    patterns = " ".join(str(one.get("pattern", "")) for one in options)
    if "ms|s|m|h|d" in patterns and "minimum" in str(options):
        return "duration"
    if "[kKmMgG]" in patterns:
        return "size"
    if any(one.get("maximum") == 599 for one in options):
        return "HTTP status, or a range of them"
    return " or ".join(dict.fromkeys(word for word in words if word != "nothing"))


def _scalar(part: Schema) -> str:
    if part.get("format") == "password":
        return "secret"
    words = {"string": "text", "boolean": "true or false", "number": "number", "null": "nothing"}
    if part.get("type") == "integer":
        low, high = part.get("minimum"), part.get("maximum")
        bounds = f", {low} to {high}" if high is not None else f", {low} or more" if low is not None else ""
        return f"whole number{bounds}"
    return words.get(str(part.get("type")), "anything")


def _default(part: Schema) -> str:
    value = part.get("default")
    if value in (None, "", [], {}) or (isinstance(value, dict) and "how" not in value):
        return ""
    return f"`{_shown(value, part)}`"


def _shown(value: Any, part: Schema) -> str:
    text = str(part)
    if isinstance(value, dict):  # `ready: stable 2s` and its like
        return f"{value['how']} {value['seconds']}"
    if isinstance(value, list):
        return "[" + ", ".join(_item(one, text) for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _item(value, text)


def _item(value: Any, schema: str) -> str:
    if isinstance(value, list):  # a range of statuses
        return f"{value[0]}-{value[1]}"
    if isinstance(value, int | float) and "ms|s|m|h|d" in schema:
        return duration_text(value)
    if isinstance(value, int) and "[kKmMgG]" in schema:
        return next(f"{value // size} {unit}" for unit, size in _SIZES if value % size == 0)
    return str(value)
