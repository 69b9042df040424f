"""Fixed width: records whose fields lie at places, as mainframes and old ERP systems write them, EBCDIC included."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

from esb.errors import DecodeError
from esb.formats.fixed_fields import ESCAPED
from esb.formats.fixed_records import Books, RecordType
from esb.formats.fixed_stream import blocks, lines
from esb.formats.layout import FixedWidthSettings
from esb.formats.limits import AROUND
from esb.ports import Format, Record, Settings

_LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "nel": "\x85"}
_END_OF_FILE = "\x1a"  # what DOS put behind the last line
_MARK = "\ufeff"


class FixedWidthFormat(Format):
    """Fields by place. Headers and trailers that only keep the file's books give no records of their own."""

    kind: ClassVar[str] = "fixed_width"
    summary: ClassVar[str] = "Fixed width: fields at places, several types of records, EBCDIC, packed decimals"
    content_type: ClassVar[str] = "text/plain"
    Settings: ClassVar[type[Settings]] = FixedWidthSettings

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        types = {name: RecordType(name, one.fields, settings) for name, one in settings.records.items()}
        self._types: Mapping[str, RecordType] = types or {"": RecordType("", settings.fields, settings)}
        self._told = [one for one in self._types.values() if one.rules.match]
        self._other = next((one for one in self._types.values() if not one.rules.match), None)
        self._header = next((one for one in self._types.values() if one.rules.carry), None)
        self._trailer = next((one for one in self._types.values() if one.rules.checked), None)
        self._details = [one for one in self._types.values() if one.role == "detail"]
        self._end = _LINE_ENDS[settings.line_end].encode(settings.encoding)
        self._strip = "\r\n\x85" if settings.line_end == "nel" else "\r\n"
        self._carried = settings.record_length or AROUND  # bytes of a header that go with each detail
        self._split = ("\x85" if settings.line_end == "nel" else "\n").encode(settings.encoding)

    def read(self, stream: BinaryIO) -> Iterator[Record]:
        """A record a line, or each ``record_length`` bytes.

        A header with ``carry`` goes into each detail instead; a trailer with ``count`` or ``sum`` comes out only when
        it is wrong. ``DecodeError`` when the first header cannot be read.
        """
        books, number = Books(self._types), 0
        for raw, fault in self._cut(stream):
            text = raw.decode(self.settings.encoding, ESCAPED)
            if self._is_blank(text):
                continue
            record = self._record(number + 1, raw, text, fault, books)
            if record is not None:
                number += 1
                yield record

    def decode(self, body: bytes) -> Any:
        """The records as a list of documents, or the one record's document when there is just one."""
        documents = []
        for record in self.read(io.BytesIO(body)):
            if record.error:
                raise DecodeError(f"record {record.number}: {record.error}")
            documents.append(record.document)
        return documents[0] if len(documents) == 1 else documents

    def encode(self, document: Any) -> bytes:
        """One document or a list of them; header and trailer are made from the details where they keep the books."""
        documents = document if isinstance(document, list) else [document]
        return b"".join(self._encoded(text) for text in self._texts(documents))

    def join(self, raws: Sequence[bytes]) -> bytes:
        """The header once, as long as it stays the same, and the records behind it."""
        found: list[bytes] = []
        header = b""
        for raw in raws:
            pieces = [piece for piece, _ in self._cut(io.BytesIO(raw))]
            if self._header and len(pieces) > 1:
                found += [pieces[0]] if pieces[0] != header else []
                header = pieces.pop(0)
            found += pieces
        return b"".join(self._ended(piece) for piece in found)

    def _cut(self, stream: BinaryIO) -> Iterator[tuple[bytes, str]]:
        length = self.settings.record_length
        return blocks(stream, length) if length else lines(stream, self._split)

    def _is_blank(self, text: str) -> bool:
        return not self.settings.record_length and not text.strip(f" \r\n\x85{_END_OF_FILE}{_MARK}")

    def _record(self, number: int, raw: bytes, text: str, fault: str, books: Books) -> Record | None:
        text = text if self.settings.record_length else text.removeprefix(_MARK).rstrip(self._strip)
        kind = None if fault else self._type(text)
        if kind is None:
            books.add(None)
            return Record(
                number, raw=self._headed(raw, books), error=fault or f"its type is none of {', '.join(self._types)}"
            )
        document, error = kind.read(text)
        error = self._too_short(kind, text) or error
        if kind.role == "header":
            return self._at_header(kind, Record(number, document, raw, error), books)
        if kind.role == "trailer":
            error = error or (books.close(document) if kind.rules.checked else "")
            return None if kind.rules.checked and not error else self._named(kind, Record(number, document, raw, error))
        return self._at_detail(kind, Record(number, document, raw, error), books)

    def _type(self, text: str) -> RecordType | None:
        return next((one for one in self._told if one.matches(text)), self._other)

    def _too_short(self, kind: RecordType, text: str) -> str:
        if len(text) >= kind.end or self.settings.short_lines:
            return ""
        return f"it ends after {len(text)} of {kind.end} {'characters' if self.settings.characters else 'bytes'}"

    def _at_header(self, kind: RecordType, record: Record, books: Books) -> Record | None:
        record = self._bounded(record) if kind.rules.carry else record
        first = not books.header_raw and record.number == 1
        carried = {name: record.document[name] for name in kind.rules.carry if name in record.document}
        books.start(None if record.error else carried, record.raw[: self._carried])
        if kind.rules.carry and record.error and first:
            raise DecodeError(f"the header cannot be read: {record.error}")
        return None if kind.rules.carry and not record.error else self._named(kind, record)

    def _bounded(self, record: Record) -> Record:
        """A header whose bytes would go with each detail must not be long."""
        if record.error or len(record.raw) <= self._carried:
            return record
        error = f"it has {len(record.raw)} bytes, and at most {self._carried} are taken, as each detail carries it"
        return Record(record.number, record.document, record.raw, error)

    def _at_detail(self, kind: RecordType, record: Record, books: Books) -> Record:
        books.add(None if record.error else record.document)
        error = record.error or books.missing_header()
        document = {**(books.header or {}), **record.document}
        return self._named(kind, Record(record.number, document, self._headed(record.raw, books), error))

    def _headed(self, raw: bytes, books: Books) -> bytes:
        """Behind the header whose values it takes, so that it can be read by itself."""
        return self._ended(books.header_raw) + raw if self._header else raw

    def _named(self, kind: RecordType, record: Record) -> Record:
        if not kind.name:
            return record
        return Record(record.number, {"record": kind.name, **record.document}, record.raw, record.error)

    def _texts(self, documents: list[Any]) -> Iterator[str]:
        """The records to write, with headers where what they carry changes, and trailers before them and at the end."""
        books = Books(self._types)
        for number, document in enumerate(documents, 1):
            where = f"record {number}"
            kind, values = self._kind_of(document, where)
            if self._header and kind.role == "detail":
                carried = {name: values.pop(name) for name in self._header.rules.carry if name in values}
                if books.header != carried:
                    yield from self._trailer_text(books, where) if books.header is not None else ()
                    books.start(carried, b"")
                    yield self._header.write(carried, f"{where}, its header")
            yield self._text(kind, values, where)
            if kind.role == "detail":
                books.add(values)
        if documents:
            yield from self._trailer_text(books, "trailer")

    def _text(self, kind: RecordType, values: dict[str, Any], where: str) -> str:
        text = kind.write(values, where)
        told = self._type(text)
        if told is not kind:
            other = f"one of the type {told.name}" if told else "of no type"
            raise DecodeError(f"{where}: with these values, a record of the type {kind.name} would be read as {other}")
        return text

    def _trailer_text(self, books: Books, where: str) -> Iterator[str]:
        if self._trailer:
            yield self._trailer.write(books.totals(), f"{where}, its trailer" if where != "trailer" else where)

    def _kind_of(self, document: Any, where: str) -> tuple[RecordType, dict[str, Any]]:
        if not isinstance(document, dict):
            raise DecodeError(f"{where} is not an object; fixed width is written from one or a list of them")
        if "" in self._types:
            return self._types[""], dict(document)
        values = dict(document)
        name = values.pop("record", self._details[0].name if len(self._details) == 1 else None)
        kind = self._types.get(name) if isinstance(name, str) else None
        if kind is None:
            raise DecodeError(f"{where}: record must name its type, one of {', '.join(self._types)}")
        if kind in (self._header, self._trailer):
            raise DecodeError(f"{where}: a {kind.name} is made from the details")
        return kind, values

    def _encoded(self, text: str) -> bytes:
        body = text.encode(self.settings.encoding, ESCAPED)
        return body if self.settings.record_length else body + self._end

    def _ended(self, raw: bytes) -> bytes:
        """With a line end: only the last line of a stream may lack one."""
        return raw if self.settings.record_length or not raw or raw.endswith(self._split) else raw + self._end
