"""Types of fixed-width records, compiled, and the books of a file: what its header says and its trailer counts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from esb.errors import DecodeError
from esb.formats.fixed_fields import Codec, codec
from esb.formats.layout import FixedField, FixedRecord, FixedWidthSettings, Place, Role
from esb.quoting import quote


class RecordType:
    """One type of record: tells whether a text is one, reads it, writes it."""

    def __init__(self, name: str, fields: Mapping[str, FixedField], settings: FixedWidthSettings) -> None:
        record = settings.records.get(name) or FixedRecord(fields=dict(fields))
        self.name = name
        self.rules = record
        self.role: Role = settings.role(name) if name in settings.records else "detail"
        self._codecs = [codec(field, one, settings.encoding) for field, one in fields.items()]
        self._by_name = {one.name: one for one in self._codecs}
        place = record.match if isinstance(record.match, Place) else None
        self._place = (place.at - 1, place.is_) if place else None
        self._values = record.match if isinstance(record.match, dict) else {}
        self.end = max(*(one.end for one in self._codecs), self._place[0] + len(self._place[1]) if self._place else 0)
        self._length = settings.record_length or self.end
        self._unit = "characters" if settings.characters else "bytes"
        self._line_ends = "" if settings.record_length else "\n\r\x85" if settings.line_end == "nel" else "\n\r"

    def matches(self, text: str) -> bool:
        """Whether a record is of this type."""
        if self._place:
            return text.startswith(self._place[1], self._place[0])
        return all(self._is(self._by_name[name], text, value) for name, value in self._values.items())

    def read(self, text: str) -> tuple[dict[str, Any], str]:
        """The fields, and what is wrong with the first that cannot be read."""
        document: dict[str, Any] = {}
        for one in self._codecs:
            try:
                value = one.read(text[one.start : one.end])
            except ValueError as error:
                return document, f"field {one.name} ({self._unit} {one.start + 1} to {one.end}): {error}"
            if value is not None:
                document[one.name] = value
        return document, ""

    def write(self, document: Mapping[str, Any], where: str) -> str:
        """The record's text. Raises ``DecodeError`` naming the field."""
        for name in document:
            if name not in self._by_name:
                raise DecodeError(f"{where}: the field {name} is not in the layout")
        text = " " * self._length
        for one in self._codecs:
            value = self._written(one, document.get(one.name, self._values.get(one.name)), where)
            text = text[: one.start] + value + text[one.end :]
        if self._place:
            text = text[: self._place[0]] + self._place[1] + text[self._place[0] + len(self._place[1]) :]
        return text

    def _written(self, one: Codec, value: Any, where: str) -> str:
        try:
            text = one.write(value)
        except ValueError as error:
            raise DecodeError(f"{where}, field {one.name}: {error}") from error
        if any(end in text for end in self._line_ends):
            raise DecodeError(f"{where}, field {one.name}: {quote(value, 40)} contains a line end")
        return text

    def _is(self, one: Codec, text: str, value: str | int) -> bool:
        try:
            return bool(one.read(text[one.start : one.end]) == value)
        except ValueError:
            return False


class Books:
    """What is known since the last header: its values, and how many details came with which sum."""

    def __init__(self, types: Mapping[str, RecordType]) -> None:
        having = [one for one in types.values() if one.rules.checked]
        self._rules = having[0].rules if having else None
        self._carries = any(one.rules.carry for one in types.values())
        self.header: dict[str, Any] | None = None
        self.header_raw = b""
        self._begin()

    def _begin(self) -> None:
        self._count, self._unread, self._sum = 0, 0, Decimal(0)

    def start(self, header: dict[str, Any] | None, raw: bytes) -> None:
        """A header: these are the values it carries; None when it could not be read."""
        self.header, self.header_raw = header, raw
        self._begin()

    def add(self, document: Mapping[str, Any] | None) -> None:
        """A detail; None when it could not be read."""
        self._count += 1
        self._unread += document is None
        if document is not None and self._rules and self._rules.sum:
            self._sum += Decimal(str(document.get(self._rules.sum.of) or 0))

    def missing_header(self) -> str:
        """Why a detail cannot have the values of its header."""
        if not self._carries or self.header is not None:
            return ""
        return "its header could not be read" if self.header_raw else "there is no header before it"

    def close(self, trailer: Mapping[str, Any]) -> str:
        """What a trailer says otherwise; the next records are counted anew."""
        wrong = [
            f"{name} is {quote(trailer.get(name), 40)}, but {said}"
            for name, value, said in self._facts()
            if trailer.get(name) is None or Decimal(str(trailer[name])) != value
        ]
        unread = f" ({self._unread} of them could not be read)" if wrong and self._unread else ""
        self._begin()
        return "; ".join(wrong) + unread

    def totals(self) -> dict[str, Any]:
        """What a trailer has to say, for writing; the next records are counted anew."""
        facts = {name: f"{value:f}" for name, value, _ in self._facts()}
        self._begin()
        return facts

    def _facts(self) -> list[tuple[str, Decimal, str]]:
        rules, found = self._rules, []
        if rules and rules.count:
            found.append((rules.count, Decimal(self._count), f"{self._count} records came before it"))
        if rules and rules.sum:
            found.append((rules.sum.field, self._sum, f"{rules.sum.of} adds up to {self._sum:f}"))
        return found
