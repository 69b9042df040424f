"""One pydantic error -> one finding with a place, a sentence and the nearest valid word."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, RootModel, SecretStr, ValidationError

from esb.config.findings import Kind, Report, nearest, shown
from esb.config.secrets import refuse_inline
from esb.config.tree import Map, Seq, Spot

M = TypeVar("M", bound=BaseModel)

_WRONG_TYPE = re.compile(r".*_(type|parsing|from_float|attributes_type)")
_SENTENCES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "list": "a list",
    "tuple": "a list",
    "decimal": "a number",
}


def build(
    model: type[M],
    value: Any,
    spot: Spot,
    report: Report,
    *,
    context: dict[str, Any] | None = None,
    also: Iterable[str] = (),
) -> M | None:
    """Validate one part of a document.

    Args:
        model: the pydantic model.
        value: the part, references resolved.
        spot: the same part as written, for places and shown values.
        report: takes a finding for each mistake.
        context: handed to the model's validators.
        also: keys that are valid here beside the model's, for hints.

    Returns:
        The model's instance, or None when there were mistakes.
    """
    try:
        value_or_nothing = {} if value is None else value
        built = model.model_validate(value_or_nothing, context=context, by_alias=True, by_name=False)
    except ValidationError as error:
        _report_all(error, model, spot, report, tuple(also))
        return None
    refuse_inline(built, spot, value, report)
    return built


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys a model takes, as written in YAML."""
    if issubclass(model, RootModel):
        inner = _models_in(model.model_fields["root"].annotation)
        return list(dict.fromkeys(key for one in inner for key in keys_of(one)))
    return [field.alias or name for name, field in model.model_fields.items()]


def _report_all(
    error: ValidationError, model: type[BaseModel], spot: Spot, report: Report, also: tuple[str, ...]
) -> None:
    errors = error.errors(include_url=False)
    unknown = [_guess(e, model, also) for e in errors if e["type"] == "extra_forbidden"]
    for entry in _best_of_unions(errors, spot):
        missing = str(entry["loc"][-1]) if entry["loc"] else ""
        if entry["type"] == "missing" and (entry["loc"][:-1], missing) in unknown:
            continue  # the misspelt key is the mistake
        _report(entry, model, spot, report, also)


def _guess(entry: Any, model: type[BaseModel], also: tuple[str, ...]) -> tuple[Any, str]:
    return entry["loc"][:-1], nearest(str(entry["loc"][-1]), [*_keys_at(model, entry["loc"][:-1]), *also])


def _best_of_unions(errors: list[Any], spot: Spot) -> list[Any]:
    """Of the errors that the members of a union give for one value, the one that got furthest."""
    paths = [spot.at(*entry["loc"]).path for entry in errors]
    kept = []
    for number, (entry, path) in enumerate(zip(errors, paths, strict=True)):
        deeper = [p for p in paths if len(p) > len(path) and p[: len(path)] == path]
        same = path in paths[:number]
        merely = entry["type"] == "too_short" and deeper  # pydantic counts only the items that are valid
        loc = entry["loc"][:-1] if entry["type"] == "missing" else entry["loc"]  # a missing key is in no document
        if not merely and not (_has_tag(loc, spot) and (deeper or same)):
            kept.append(entry)
    return kept


def _has_tag(loc: tuple[Any, ...], spot: Spot) -> bool:
    """Whether a path has parts that are no keys in the document: the tag of a union's member."""
    known = len(spot.at(*loc).path) - len(spot.path)
    return known < len(loc)


def _report(entry: Any, model: type[BaseModel], spot: Spot, report: Report, also: tuple[str, ...]) -> None:
    loc, kind = entry["loc"], entry["type"]
    if kind == "extra_forbidden":
        keys = [*_keys_at(model, loc[:-1]), *also]
        text = (
            f"There is no key {loc[-1]!r} here; known are {_list(keys)}."
            if keys
            else f"There is no key {loc[-1]!r} here."
        )
        report.at_key(spot.at(*loc), "unknown-key", text, value=str(loc[-1]), hint=nearest(str(loc[-1]), keys))
    elif kind == "missing":
        parent = spot.at(*loc[:-1])
        text = f"The key {loc[-1]!r} is missing here: add it."
        report.add(parent.place, "missing-key", text, pointer=parent.pointer, value=str(loc[-1]))
    else:
        _report_value(entry, spot.at(*loc), report)


def _report_value(entry: Any, spot: Spot, report: Report) -> None:
    kind: Kind = "wrong-type" if _WRONG_TYPE.fullmatch(entry["type"]) else "bad-value"
    context = entry.get("ctx") or {}
    hint = ""
    if entry["type"] == "literal_error":
        words = [word.strip("'") for word in str(context.get("expected", "")).replace(" or ", ", ").split(", ")]
        text = f"{_quoted(spot.value)} is not one of {_list(words)}."
        hint = nearest(str(spot.value), words)
    elif kind == "wrong-type":
        if isinstance(entry["input"], SecretStr):
            report.retract(spot.place, "missing-secret")  # who sets it comes round to here, and has gained nothing
        text = _type_sentence(entry, spot)
    else:
        message = entry["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        text = f"{_quoted(spot.value)} cannot stand here: {message[:1].lower()}{message[1:]}."
    report.at(spot, kind, text, hint=hint)


def _type_sentence(entry: Any, spot: Spot) -> str:
    if isinstance(entry["input"], SecretStr):
        return _no_secret(spot)
    wanted = _SENTENCES.get(entry["type"].split("_")[0])
    advice = (
        " Put it in quotes if it is meant as text."
        if wanted == "text" and not isinstance(spot.value, Map | Seq)
        else ""
    )
    return f"{_quoted(spot.value)} is not {wanted}.{advice}" if wanted else f"{_quoted(spot.value)}: {entry['msg']}."


def _no_secret(spot: Spot) -> str:
    """A reference stands where the value is no secret: how a value from outside is written there."""
    scheme, name = str(spot.value).removeprefix("secret:").partition(":")[::2]
    variable = f"${{{name}}}" if scheme == "env" and name else "${NAME}"
    return (
        "A secret reference cannot stand here: this key is no secret and would be shown. "
        f"A value from the environment is written {variable} here."
    )


def _quoted(value: Any) -> str:
    value = shown(value)
    return "Nothing" if value is None else f"{value!r}" if isinstance(value, str) else str(value)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _keys_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The keys that the model knows at a path into its document; union tags and indices do not count."""
    models = _opened(model)
    for part in loc:
        deeper = [_models_in(one.model_fields[name].annotation) for one in models for name in _fields(one, part)]
        models = [m for found in deeper for inner in found for m in _opened(inner)] or models
    return list(dict.fromkeys(key for one in models for key in keys_of(one)))


def _opened(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A root model stands for the models in its root."""
    if not issubclass(model, RootModel):
        return [model]
    return [deep for one in _models_in(model.model_fields["root"].annotation) for deep in _opened(one)]


def _fields(model: type[BaseModel], key: Any) -> list[str]:
    return [name for name, field in model.model_fields.items() if key in (field.alias or name, name)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
