"""The published JSON Schemas (2020-12) of a bus directory's files, exported from the models that also check them.

Editors use them through the first line of a file: ``# yaml-language-server: $schema=…``. The open sets (adapters,
formats, steps) are written out for the components at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from esb.config import models
from esb.config.components import Components

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "${NAME} or ${NAME:-default}: an environment variable.",
}
_SECRET = {
    "type": "string",
    "pattern": "^secret:(env|file):.+",
    "description": "secret:env:NAME or secret:file:PATH; never the value itself.",
}
_LEAF = {"$ref": "#/$defs/leaf"}
_STEPS = {"$ref": "#/$defs/steps"}


def schemas(components: Components, more: Mapping[str, type[BaseModel]] | None = None) -> dict[str, Schema]:
    """A JSON Schema for one document of each kind of file.

    They are ``bus``, ``overlay``, ``endpoint``, ``flow``, ``saga`` and ``mapping``.

    Args:
        components: the adapters, formats and steps to write out.
        more: further kinds of files by name (test cases), each with its model.
    """
    found = {
        "bus": _bus(),
        "overlay": _overlay(),
        "endpoint": _endpoint(components),
        "flow": _flow(components),
        "saga": _saga(),
        "mapping": _mapping(),
    }
    found |= {name: _finished({"$ref": ref}, defs) for name, (ref, defs) in _further(more or {}).items()}
    return found


def _further(more: Mapping[str, type[BaseModel]]) -> dict[str, tuple[str, Schema]]:
    result = {}
    for name, model in more.items():
        refs, defs = _exported([model])
        result[name] = (refs[0]["$ref"], {**defs, "leaf": _leaf()})
    return result


def _exported(wanted: list[type[BaseModel]]) -> tuple[list[Schema], Schema]:
    """A ``$ref`` for each model, and all definitions."""
    unique = list(dict.fromkeys(wanted))
    refs, top = models_json_schema([(model, "validation") for model in unique], by_alias=True)
    return [dict(refs[model, "validation"]) for model in wanted], dict(top.get("$defs", {}))


def _finished(schema: Schema, defs: Schema, title: str = "") -> Schema:
    """With dialect and definitions; one that is only a reference is opened, for editors that show its top."""
    if set(schema) == {"$ref"}:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    whole = {"$schema": _DIALECT, **schema, **({"title": title} if title else {}), "$defs": defs}
    return dict(_changed(whole, _mark))


def _changed(schema: Any, change: Callable[[Schema], Schema | None]) -> Any:
    """The schema with ``change`` applied to every subschema from the top; what it replaces is not looked into."""
    if not isinstance(schema, dict):
        return schema
    replaced = change(schema)
    if replaced is not None:
        return replaced
    return {key: _below(key, value, change) for key, value in schema.items()}


def _below(keyword: str, value: Any, change: Callable[[Schema], Schema | None]) -> Any:
    if keyword in ("properties", "$defs", "patternProperties") and isinstance(value, dict):
        return {name: _changed(part, change) for name, part in value.items()}
    if keyword in ("const", "default", "examples", "enum"):
        return value
    return [_changed(part, change) for part in value] if isinstance(value, list) else _changed(value, change)


def _mark(schema: Schema) -> Schema | None:
    """Fields that the models mark as steps or secrets, in the words of the schema."""
    if schema.get("x-steps"):
        return {"description": schema.get("description", "Steps."), **_STEPS}
    return _SECRET if schema.get("format") == "password" else None


def _open_to_environment(schema: Schema) -> Schema | None:
    """Let ``${NAME}`` stand wherever a scalar with a rule of its own is expected."""
    scalar = schema.get("type") in ("integer", "number", "boolean") or "enum" in schema or "pattern" in schema
    if not scalar or schema == _SECRET:
        return None
    about: Schema = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    return {**about, "anyOf": [{k: v for k, v in schema.items() if k not in about}, {"$ref": "#/$defs/environment"}]}


def _from_environment(schema: Schema) -> Schema:
    opened = _changed(schema, _open_to_environment)
    opened["$defs"] = {**opened.get("$defs", {}), "environment": _REFERENCE}
    return dict(opened)


def _bus() -> Schema:
    refs, defs = _exported([models.BusConfig])
    return _from_environment(_finished(refs[0], defs, "esb.yaml"))


def _overlay() -> Schema:
    schema = _bus()
    changes: Schema = {"type": "object", "description": "What differs for each endpoint, by its name: {settings: {…}}."}
    changes["additionalProperties"] = {"type": "object"}
    return {**schema, "title": "esb.<env>.yaml", "properties": {**schema["properties"], "endpoints": changes}}


def _endpoint(components: Components) -> Schema:
    adapters = sorted(components.adapters)
    formats = sorted(components.formats)
    parts = [_parts(components.adapters[name]) for name in adapters]
    wanted: list[type[BaseModel]] = [
        models.Endpoint,
        models.Receive,
        models.Operation,
        *(part for triple in parts for part in triple),
    ]
    refs, defs = _exported([*wanted, *(components.formats[name].Settings for name in formats)])
    schema = dict(defs[refs[0]["$ref"].rpartition("/")[2]])
    schema["properties"] = {
        **schema["properties"],
        "adapter": {"enum": adapters, "description": "What protocol this endpoint speaks."},
        "format": _one_format(formats, refs[3 + 3 * len(adapters) :]),
    }
    schema["allOf"] = [
        _for_adapter(name, refs[3 + 3 * number : 6 + 3 * number], refs[1:3], defs)
        for number, name in enumerate(adapters)
    ]
    return _from_environment(_finished(schema, defs, "endpoints/*.yaml"))


def _parts(adapter: Any) -> tuple[type[BaseModel], type[BaseModel], type[BaseModel]]:
    return adapter.Settings, adapter.Receive, adapter.Operation


def _for_adapter(name: str, own: list[Schema], common: list[Schema], defs: Schema) -> Schema:
    """``if`` this adapter, ``then`` its settings, and its keys beside the bus's."""
    settings, receive, operation = own
    needs_settings = bool(_resolved(settings, defs).get("required"))
    then = {
        "properties": {
            "settings": settings,
            "receive": _joined(_resolved(common[0], defs), _resolved(receive, defs)),
            "operations": {"additionalProperties": _joined(_resolved(common[1], defs), _resolved(operation, defs))},
        },
        **({"required": ["settings"]} if needs_settings else {}),
    }
    return {"if": {"properties": {"adapter": {"const": name}}, "required": ["adapter"]}, "then": then}


def _resolved(schema: Schema, defs: Schema) -> Schema:
    return dict(defs[schema["$ref"].rpartition("/")[2]]) if "$ref" in schema else schema


def _joined(common: Schema, own: Schema) -> Schema:
    properties = {**common.get("properties", {}), **own.get("properties", {})}
    rest = {key: value for key, value in own.items() if key not in ("title", "description", "properties", "type")}
    kind = "object" if rest.get("required") else ["object", "null"]
    return {**rest, "type": kind, "properties": properties, "additionalProperties": False}


def _one_format(names: list[str], refs: list[Schema]) -> Schema:
    return {
        "description": "A format's name, or {name: {settings}}.",
        "anyOf": [
            {"enum": names},
            {
                "type": "object",
                "properties": dict(zip(names, refs, strict=True)),
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ],
    }


def _flow(components: Components) -> Schema:
    kinds = sorted(components.steps)
    refs, defs = _exported([models.Flow, *(components.steps[kind].Settings for kind in kinds)])
    own = {
        "name": {"type": "string", "minLength": 1, "description": "Names the step; the default is kind:target."},
        "on_error": {**_STEPS, "description": "What happens instead when the step fails: $error tells why."},
    }
    defs["step"] = {
        "type": "object",
        "description": "One step: its kind as key, and perhaps a name.",
        "properties": {
            **own,
            **_beside(components, defs, dict(zip(kinds, refs[1:], strict=True))),
            **{kind: _about(components.steps[kind], ref) for kind, ref in zip(kinds, refs[1:], strict=True)},
        },
        "additionalProperties": False,
        "oneOf": [_one_kind(kind, components) for kind in kinds],
    }
    many = {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1}
    defs["steps"] = {"anyOf": [{"$ref": "#/$defs/step"}, many]}
    schema = dict(_resolved(refs[0], defs))
    schema["properties"] = {**schema["properties"], "steps": _STEPS, "on_error": _STEPS}
    return _finished(schema, _with_leaves(defs), "flows/*.yaml")


def _beside(components: Components, defs: Schema, refs: Mapping[str, Schema]) -> Schema:
    """Settings that may stand beside their kind, where its value is written short."""
    owners = [(kind, key) for kind in refs for key in components.steps[kind].beside]
    return {key: _full(refs[kind], defs)["properties"][key] for kind, key in owners}


def _full(ref: Schema, defs: Schema) -> Schema:
    """Of a short form or all settings: all settings."""
    schema = _resolved(ref, defs)
    return dict(schema["anyOf"][-1]) if "anyOf" in schema else schema


def _one_kind(kind: str, components: Components) -> Schema:
    """A kind, and none of which its name is a setting."""
    owners = [other for other, found in components.steps.items() if kind in found.beside]
    return {"required": [kind], **({"not": {"anyOf": [{"required": [o]} for o in owners]}} if owners else {})}


def _about(kind: Any, ref: Schema) -> Schema:
    summary = getattr(kind, "summary", "")
    return {"description": summary, **ref} if summary else ref


def _with_leaves(defs: Schema) -> Schema:
    inline = defs.get("InlineMapping")
    if inline is not None:
        fields = {**inline["properties"]["set"], "additionalProperties": _LEAF}
        defs["InlineMapping"] = {**inline, "properties": {**inline["properties"], "set": fields}}
    return {**defs, "leaf": _leaf()}


def _mapping() -> Schema:
    refs, defs = _exported([models.Mapping])
    schema = dict(_resolved(refs[0], defs))
    fields = {**schema["properties"]["set"], "additionalProperties": _LEAF}
    schema["properties"] = {**schema["properties"], "set": fields}
    return _finished(schema, {**defs, "leaf": _leaf()}, "mappings/*.yaml")


def _saga() -> Schema:
    refs, defs = _exported([models.Saga])
    return _finished(dict(_resolved(refs[0], defs)), _with_leaves(defs), "sagas/*.yaml")


def _leaf() -> Schema:
    """What may stand at a leaf of a mapping."""
    text, required = {"type": "string"}, {"type": "boolean"}
    each = {"each": text, "set": _LEAF, "required": required}
    taken = {"from": text, "default": {}, "required": required}
    return {
        "description": "A JSONata expression, a constant, {const: X}, {from: …}, {each: …, set: …}, or fields.",
        "type": ["string", "number", "boolean", "null", "array", "object"],
        "items": _LEAF,
        "if": {"type": "object", "required": ["const"]},
        "then": {"properties": {"const": {}}, "additionalProperties": False},
        "else": {
            "if": {"type": "object", "required": ["each"]},
            "then": {"properties": each, "required": ["set"], "additionalProperties": False},
            "else": {
                "if": {"type": "object", "required": ["from"]},
                "then": {"properties": taken, "additionalProperties": False},
                "else": {"additionalProperties": _LEAF},
            },
        },
    }
