"""Something in the place of what is hidden: of the same kind, and fit for the contract where it can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from esb.config.fields import View, view_of
from esb.contract import Contract
from esb.errors import ContractError
from esb.masking import HIDDEN

Place = tuple[str | int, ...]
_FORMATS = {
    "date": "2026-01-01", "date-time": "2026-01-01T00:00:00Z", "time": "00:00:00Z", "duration": "P1D",
    "email": "nobody@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://example.com", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip


def filled(document: Any, contract: Contract | None, schemas: Mapping[str, Any]) -> Any:
    """A copy in which every hidden value (``***``) is one that the contract takes; where none is found it stays hidden.

    Args:
        document: with what is hidden covered.
        contract: what it meets, or should.
        schemas: all contracts by ref.
    """
    places = list(_hidden(document))
    if contract is None or not places:
        return document
    view = view_of(contract.ref, schemas)
    for place in places:
        document = _with_fitting(document, place, contract, _candidates(_schemas_at(view, place)))
    return document


def without(document: Any) -> Any:
    """A copy without what is hidden."""
    if isinstance(document, Mapping):
        return {name: without(value) for name, value in document.items() if value != HIDDEN}
    return [without(item) for item in document] if isinstance(document, list) else document


def _hidden(value: Any, at: Place = ()) -> Iterator[Place]:
    if value == HIDDEN:
        yield at
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _hidden(item, (*at, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _hidden(item, (*at, number))


def _schemas_at(view: View | None, place: Place) -> list[Mapping[str, Any]]:
    names = tuple(part for part in place if isinstance(part, str))
    found = view.find(names) if view else None
    nodes = found.flat() if isinstance(found, View) else ()
    return [node.schema for node in nodes if isinstance(node.schema, Mapping)]


def _candidates(schemas: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """Values that a contract may take, the likeliest first."""
    for schema in schemas:
        yield from (schema[word] for word in ("const", "default") if word in schema)
        yield from chain(schema.get("enum", ()), schema.get("examples", ()))
        if schema.get("format") in _FORMATS:
            yield _FORMATS[schema["format"]]
    kinds = {kind for schema in schemas for kind in _listed(schema.get("type"))}
    if kinds & {"number", "integer"}:
        yield from (number for schema in schemas for number in _bounds(schema))
        yield from (0, 1, 10, 100, 1000)
    if "boolean" in kinds:
        yield from (False, True)
    if not kinds or "string" in kinds:
        yield from _texts(max((schema.get("minLength", 1) for schema in schemas), default=1))


def _listed(kind: Any) -> Sequence[str]:
    return kind if isinstance(kind, list) else () if kind is None else (kind,)


def _bounds(schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from (schema[word] for word in ("minimum", "maximum") if word in schema)
    if "exclusiveMinimum" in schema:
        yield schema["exclusiveMinimum"] + 1
    if "multipleOf" in schema:
        yield schema["multipleOf"]


def _texts(least: int) -> Iterator[str]:
    """Letters, digits, and letters before digits (as in account numbers), of any length that is in use."""
    yield "x" * least
    for length in range(least, max(least, 34) + 1):
        yield from ("0" * length, "A" * length, "a" * length)
        yield from ("A" * letters + "0" * (length - letters) for letters in range(1, min(length, 5)))


def _with_fitting(document: Any, place: Place, contract: Contract, candidates: Iterator[Any]) -> Any:
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)
    for candidate in candidates:
        tried = _put(document, place, candidate)
        if pointer not in _violations(contract, tried):
            return tried
    return document


def _violations(contract: Contract, document: Any) -> set[str]:
    try:
        contract.check(document)
    except ContractError as error:
        return {pointer for pointer, _ in error.violations}
    return set()


def _put(document: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    first, *rest = place
    copy: Any = list(document) if isinstance(document, list) else dict(document)
    copy[first] = _put(document[first], tuple(rest), value)
    return copy
