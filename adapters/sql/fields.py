"""Values out of a message, by the field that an operation names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from esb.errors import Refused
from esb.ports import Template

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT", "__bool__": lambda self: False})()
"""What a field gives that the document does not have; null is not absent."""


def getter(field: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    """A function (document, words) -> value for ``customer.id`` or ``{orderId}/{message_id}``."""
    if "{" in field:
        template = Template(field)
        return lambda document, words: template.fill(document, words, str)
    path = field.split(".")
    return lambda document, words: _follow(document, path)


def required(field: str, document: Any, words: Mapping[str, Any]) -> Any:
    """The value of a field that must be there. Raises ``Refused`` naming it."""
    value = getter(field)(document, words)
    if value is ABSENT or value is None:
        raise Refused(f"the message has nothing at {field}, which identifies the row")
    return value


def _follow(document: Any, path: list[str]) -> Any:
    for part in path:
        if not isinstance(document, Mapping) or part not in document:
            return ABSENT
        document = document[part]
    return document
