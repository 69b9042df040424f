"""Contracts: JSON Schema 2020-12 with a type and a version, checked on the message path.

``jsonschema-rs`` validates in a few microseconds. Nothing is ever fetched: a ``$ref`` leads into the schema itself or
to another contract of the bus (``order/v1`` or ``esb:order/v1``). Patterns run on a linear-time engine, so no
document can make one hang; formats are asserted. Keywords of ours: ``x-subject``, an expression for the business key,
and ``x-mask``, the fields whose values nobody gets to see, not even in the sentence about their being wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

import jsonschema_rs

from esb.errors import ContractError
from esb.expression import Data, Expression
from esb.masking import Mask, mask_of
from esb.message import LONGEST_KEY
from esb.quoting import quote

MOST = 10  # violations reported of one document
_URI = "esb:"
_SIBLING = re.compile(r"(?:esb:)?([A-Za-z][\w.-]*/v[1-9]\d*)(#.*)?")
_LITERAL = frozenset({"const", "enum", "default", "examples"})  # what stands below is data, never a $ref
_VALUE = "\0"  # where jsonschema-rs shall leave a gap for the value
_NONE: Mapping[str, Mapping[str, Any]] = MappingProxyType({})

Schema = Mapping[str, Any]
AnySchema = Schema | bool  # true takes everything, false nothing


class Contract:
    """A document's shape under a name: ``order.placed/v1``. May be shared by threads.

    Args:
        ref: type and version.
        schema: the JSON Schema.
        siblings: the bus's contracts by ref, for ``$ref``.
        known: further schemas that a ``$ref`` may name, by URI.
        assert_formats: whether ``format`` is checked. The standard says that it is not, unless asked for.

    Raises:
        ContractError: the schema is wrong, or refers to what is not there; names the place.
    """

    def __init__(
        self,
        ref: str,
        schema: AnySchema,
        siblings: Mapping[str, Schema] = _NONE,
        *,
        known: Mapping[str, Schema] = _NONE,
        assert_formats: bool = True,
    ) -> None:
        type, _, version = ref.rpartition("/v")
        if not (type and version.isdecimal()):
            raise ContractError(f"contract {ref}: a name such as order.placed/v1 is needed", ref)
        self.ref = ref
        self.type = type
        self.version = int(version)
        self.schema = schema
        self._validator = _validator(ref, schema, siblings, known, assert_formats)
        self.mask = _mask(ref, schema, siblings)
        subject = schema.get("x-subject") if isinstance(schema, Mapping) else None
        self._subject = None if subject is None else Expression(subject, where=f"x-subject of {ref}")

    def check(self, document: Any) -> None:
        """Raise ``ContractError`` with the first ten violations, unless the document meets the contract."""
        if not self._validator.is_valid(document):
            raise _violated(self.ref, islice(self._validator.iter_errors(document), MOST + 1), self.mask)

    def subject(self, document: Any) -> str | None:
        """The business key (an order number), or None where the contract names none or the document has none.

        Args:
            document: the document, or its :class:`~esb.expression.Data` where that exists already.

        Raises ``ContractError`` for a key that is too long: cut, it would be found by nobody.
        """
        if self._subject is None:
            return None
        key = self._subject.evaluate(document if type(document) is Data else Data(document))
        if type(key) is not str:
            return None if key is None else quote(key, 200)
        if len(key) > LONGEST_KEY:
            raise ContractError(
                f"contract {self.ref}: x-subject `{self._subject.text}` gives a business key of {len(key)} characters, "
                f"and {LONGEST_KEY} are the most: name a shorter field there, or mend the document",
                self.ref,
            )
        return key


def references(schema: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every ``$ref`` of a schema as ``(json pointer, reference)``."""
    for key, value in _parts(schema):
        below = f"{pointer}/{_escape(key)}"
        if key == "$ref" and isinstance(value, str):
            yield below, value
        elif key not in _LITERAL:
            yield from references(value, below)


def _parts(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()


def _escape(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _validator(
    ref: str, schema: AnySchema, siblings: Mapping[str, Schema], known: Mapping[str, Schema], formats: bool
) -> Any:
    needed = [(_URI + name, _absolute(found)) for name, found in _closure(ref, schema, siblings).items()]
    try:
        resources: list[Any] = [*needed, *known.items()]
        registry = jsonschema_rs.Registry(resources)
        return jsonschema_rs.validator_for(
            _absolute(schema),
            registry=registry,
            base_uri=_URI + ref,
            validate_formats=formats,
            ignore_unknown_formats=not formats,
            pattern_options=jsonschema_rs.RegexOptions(),
            mask=_VALUE,
            offline=True,
        )
    except jsonschema_rs.ValidationError as error:
        raise _wrong_schema(ref, schema, error) from error
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        raise ContractError(f"contract {ref} is not a usable JSON Schema: {error}", ref) from error


def _closure(ref: str, schema: AnySchema, siblings: Mapping[str, Schema]) -> dict[str, Schema]:
    """The sibling contracts that this one needs, directly or not."""
    needed: dict[str, Schema] = {}
    waiting: list[tuple[str, AnySchema]] = [(ref, schema)]
    while waiting:
        name, current = waiting.pop()
        for pointer, reference in references(current):
            match = _SIBLING.fullmatch(reference)
            if match is None or match[1] == ref or match[1] in needed:
                continue
            if match[1] not in siblings:
                raise ContractError(f"contract {name}: $ref at {pointer}: there is no contract {match[1]}", ref)
            needed[match[1]] = siblings[match[1]]
            waiting.append((match[1], siblings[match[1]]))
    return needed


def _absolute(schema: Any) -> Any:
    """The schema with ``order/v1`` written as the URI that it stands for."""
    if isinstance(schema, Mapping):
        return {key: value if key in _LITERAL else _target(key, value) for key, value in schema.items()}
    return [_absolute(item) for item in schema] if isinstance(schema, list) else schema


def _target(key: str, value: Any) -> Any:
    if key != "$ref" or not isinstance(value, str):
        return _absolute(value)
    match = _SIBLING.fullmatch(value)
    return f"{_URI}{match[1]}{match[2] or ''}" if match else value


def _wrong_schema(ref: str, schema: AnySchema, error: Any) -> ContractError:
    for place, reference in references(schema):
        if f"'{reference}'" in error.message:
            return ContractError(f"contract {ref}: $ref at {place}: {reference} is not a contract of this bus", ref)
        if f"Pointer '{reference.partition('#')[2]}' does not exist" in error.message:
            return ContractError(f"contract {ref}: $ref at {place}: there is nothing at {reference}", ref)
    place = _pointer(error.instance_path) or "the top"
    text = error.message.replace(_VALUE, quote(error.instance)).partition(". Adjust configuration")[0]
    return ContractError(f"contract {ref} is not a valid JSON Schema: at {place}: {text}", ref)


def _mask(ref: str, schema: AnySchema, siblings: Mapping[str, Schema]) -> Mask:
    try:
        return mask_of(ref, schema, siblings)
    except ValueError as error:
        raise ContractError(f"contract {ref}: x-mask at /x-mask: {error}", ref) from error


def _violated(ref: str, errors: Iterator[Any], mask: Mask) -> ContractError:
    found = tuple((_pointer(error.instance_path), _sentence(error, mask)) for error in errors)
    shown = "; ".join(f"{pointer or 'document'}: {sentence}" for pointer, sentence in found[:MOST])
    more = "; and more" if len(found) > MOST else ""
    return ContractError(f"breaks contract {ref}: {shown}{more}", ref, found[:MOST])


def _pointer(path: Any) -> str:
    return "".join(f"/{_escape(key)}" for key in path)


def _sentence(error: Any, mask: Mask) -> str:
    """What is wrong, with the value in it as far as it may be seen, however large the value is."""
    text, value = error.message, quote(mask.at(error.instance_path, error.instance))
    if _VALUE in text:
        return text.replace(_VALUE, value)
    return text if len(value) > 60 or value in text or value[0] in "{[" else f"{text}, not {value}"
