"""Contracts as files: ``contracts/<type>/v<number>.json`` -> JSON Schemas, each proven usable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from esb.config.findings import Finding, Report, nearest
from esb.config.masks import check_masks
from esb.config.tree import Place, Spot, root
from esb.config.yaml import documents
from esb.contract import Contract, references
from esb.errors import ContractError, ExpressionError
from esb.masking import KEYWORD

_FILE = re.compile(r"contracts/([A-Za-z][A-Za-z0-9_.-]*)/(v[1-9][0-9]*)\.json")


class _RepeatedKeyError(ValueError):
    """A key that stands twice in one object."""


def load_contracts(files: Mapping[str, str], report: Report) -> dict[str, dict[str, Any]]:
    """Every schema by its ref (``order/v1``); a broken one is there too, so that it is known.

    Args:
        files: name -> text.
        report: takes a finding for each file that is no usable JSON Schema.
    """
    schemas: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for file, text in files.items():
        match = _FILE.fullmatch(file)
        if match is None:
            advice = "A contract lies at contracts/<type>/v<number>.json, such as contracts/order.placed/v1.json."
            report.add(Place(file), "bad-contract", advice)
            continue
        schema = _parsed(file, text, report)
        schemas[f"{match[1]}/{match[2]}"] = {} if schema is None else schema
        if schema is not None:
            names[f"{match[1]}/{match[2]}"] = file
    errors = {ref: error for ref in names if (error := _fault(ref, schemas)) is not None}
    for ref in _causes(errors, schemas):
        _report(errors[ref], names[ref], files[names[ref]], schemas, report)
    for ref in names.keys() - errors.keys():
        if KEYWORD in schemas[ref]:
            check_masks(ref, schemas, _value(files[names[ref]], names[ref]), report)
    return schemas


def _fault(ref: str, schemas: Mapping[str, Any]) -> Exception | None:
    try:
        Contract(ref, schemas[ref], schemas)
    except (ContractError, ExpressionError) as error:
        return error
    return None


def _causes(errors: Mapping[str, Exception], schemas: Mapping[str, Any]) -> list[str]:
    """Of the contracts that fail, those that do not merely refer to another that does."""
    causes = [ref for ref in errors if not any(other in errors for other in _reached(ref, schemas) - {ref})]
    return causes or list(errors)


def _reached(ref: str, schemas: Mapping[str, Any]) -> set[str]:
    reached, waiting = set(), [ref]
    while waiting:
        for _, reference in references(schemas.get(waiting.pop(), {})):
            name = reference.removeprefix("esb:").partition("#")[0]
            if name in schemas and name not in reached:
                reached.add(name)
                waiting.append(name)
    return reached


def _parsed(file: str, text: str, report: Report) -> dict[str, Any] | None:
    try:
        schema = json.loads(text, object_pairs_hook=_unique)
    except _RepeatedKeyError as error:
        place = _key_place(text, file, str(error))
        report.add(place, "duplicate-key", f"{str(error)!r} stands here again; keep one.", value=str(error))
        return None
    except json.JSONDecodeError as error:
        report.add(Place(file, error.lineno, error.colno), "bad-contract", f"This is not JSON: {error.msg}.")
        return None
    except RecursionError:
        report.add(Place(file), "bad-contract", "This schema is nested too deeply to be read.")
        return None
    if not isinstance(schema, dict):
        report.add(Place(file), "bad-contract", "A contract is a JSON object (a JSON Schema).")
        return None
    return schema


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _RepeatedKeyError(key)
        result[key] = value
    return result


def _report(error: Exception, file: str, text: str, schemas: Mapping[str, Any], report: Report) -> None:
    if isinstance(error, ExpressionError):
        report.at(_spot(text, file, "/x-subject"), "bad-expression", _capital(str(error)))
        return
    broken = _broken_rule(json.loads(text))
    if broken is not None:
        path, sentence = broken
        report.at(_value(text, file).at(*path), "bad-contract", f"This is no JSON Schema: {sentence}.")
        return
    message = re.sub(r"^contract \S+ (is not)", r"this \1", str(error))
    message = re.sub(r"^contract \S+: ", "", message)
    match = re.search(r"at (/\S*?):? ", message + " ")
    missing = re.search(r"there is no contract (\S+)", message)
    hint = nearest(missing[1], schemas) if missing else ""
    spot = _spot(text, file, match[1] if match else "")
    report.at(spot, "unknown-contract" if missing else "bad-contract", _capital(message), hint=hint)


def _broken_rule(schema: dict[str, Any]) -> tuple[list[str | int], str] | None:
    """Where a schema breaks the rules of JSON Schema itself, and how; None when it keeps them.

    The reference implementation judges here, for it points at the deepest cause. Imported late: a sound directory
    never needs it, and it is slow to load.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    return (list(error.absolute_path), error.message) if error is not None else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _spot(text: str, file: str, pointer: str) -> Spot:
    """The value at a JSON pointer, with its place: JSON is YAML, once its tabs are spaces."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return _value(text, file).at(*[int(p) if p.isdecimal() else p for p in parts])


def _value(text: str, file: str) -> Spot:
    found = documents(text.replace("\t", " "), file, [])
    return root(found[0] if found else None, file)


def _key_place(text: str, file: str, key: str) -> Place:
    findings: list[Finding] = []
    documents(text.replace("\t", " "), file, findings)
    places = [Place(file, f.line, f.column) for f in findings if f.kind == "duplicate-key" and f.value == key]
    return places[0] if places else Place(file)
