"""Names filled from a message: ``orders/{orderId}-{message_id}.json`` as a file, ``/orders/{order.id}`` as a URL path.

Only lookups, no expressions: what stands between braces is a dotted path into the document, or one of the message's
own words (:data:`WORDS`), which come first. The caller says how a value is made safe for where it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator

from esb.errors import Refused

WORDS = ("message_id", "subject", "time", "key", "operation")


class Template:
    """A checked template. Raises ``ValueError`` when the text is not one.

    Python's own format syntax, cut down: no ``!r``, no indexes or attributes, and a format (``{time:%Y%m%d}``) only
    for ``time``, which is the message's, in UTC.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = [(literal, name, spec or "") for literal, name, spec in _parse(text)]

    @property
    def fields(self) -> tuple[str, ...]:
        """What stands between the braces, in order."""
        return tuple(name for _, name, _ in self._parts if name)

    def fill(self, document: Any, words: Mapping[str, Any], safe: Callable[[str], str]) -> str:
        """The text with every value put in as ``safe(value)``. Raises ``Refused`` naming a field that gives nothing."""
        return "".join(
            literal + (safe(_value(name, spec, document, words)) if name else "") for literal, name, spec in self._parts
        )


def _parse(text: str) -> list[tuple[str, str | None, str | None]]:
    """(literal, field name, format) for each piece."""
    pieces = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if name is not None:
            _check_field(name, spec or "", conversion)
        pieces.append((literal, name, spec))
    return pieces


def _check_field(name: str, spec: str, conversion: str | None) -> None:
    if not name or not all(part.replace("-", "_").isidentifier() for part in name.split(".")):
        raise ValueError(f"{{{name}}} is not a field: write {{orderId}} or {{customer.id}}")
    if conversion:
        raise ValueError(f"{{{name}!{conversion}}}: conversions have no place here")
    if spec and name != "time":
        raise ValueError(f"{{{name}:{spec}}}: only time takes a format, as in {{time:%Y%m%d}}")


def _value(name: str, spec: str, document: Any, words: Mapping[str, Any]) -> str:
    if name == "time":
        return datetime.fromtimestamp(words["time"], UTC).strftime(spec or "%Y%m%dT%H%M%SZ")
    value = words[name] if name in WORDS else _field(name, document)
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float) or value == "":
        raise Refused(f"the name needs {{{name}}}, and the message has {_what(value)} there")
    return str(value)


def _field(path: str, document: Any) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def _what(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    return "an object" if isinstance(value, Mapping) else "a list"


def _template(text: str) -> str:
    Template(text)
    return text


TemplateText = Annotated[str, AfterValidator(_template)]
"""A settings field that holds a template; a mistake in it is a finding."""
