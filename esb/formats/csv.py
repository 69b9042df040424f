"""CSV (RFC 4180) as legacy systems write it: any delimiter, character set, decimal mark and date.

A row that cannot be read comes out with its bytes, behind the file's header line, so that it can be read by itself
once it is repaired.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

from pydantic import Field, field_validator, model_validator

from esb.errors import DecodeError
from esb.formats.columns import ColumnType, Read, plain, reader, writer
from esb.formats.encodings import bare, known
from esb.formats.limits import AROUND, COLUMNS
from esb.formats.rows import Row, rows
from esb.ports import Format, Record, Settings

_UNDECODED = re.compile("[\udc80-\udcff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvSettings(Settings):
    """How rows are written down."""

    delimiter: str = Field(",", min_length=1, max_length=1, description="Between cells.")
    quote: str | None = Field('"', min_length=1, max_length=1, description="Around cells; null: quotes mean nothing.")
    encoding: str = Field("utf-8", description="Character set: utf-8, cp1252, latin-1 …")
    header: bool | tuple[str, ...] = Field(
        True, description="true: the first row has the names. A list: these are the names, and there is no such row."
    )
    columns: dict[str, ColumnType] = Field(
        default_factory=dict, description="Column: text, a date format, or {decimal, integer, date, boolean}."
    )
    skip_blank: bool = Field(True, description="Rows without any content are passed over.")
    trim: bool = Field(False, description="Spaces around each cell are removed.")
    rows: str | None = Field(
        None, min_length=1, description="When writing: the field of the document that has the rows as a list."
    )
    guard_formulas: bool = Field(
        False, description="When writing, put ' before text that a spreadsheet would run (=, +, -, @)."
    )

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        return known(value)

    @model_validator(mode="after")
    def _together(self) -> CsvSettings:
        if self.header is False or self.header == ():
            raise ValueError("header: a file without a header line needs its column names as a list")
        if self.delimiter == self.quote or self.delimiter in "\r\n":
            raise ValueError("delimiter, quote and line end must differ")
        if isinstance(self.header, tuple):
            _refuse_doubles(self.header, ValueError)
            for name in self.columns:
                if name not in self.header:
                    raise ValueError(f"columns: {name} is not one of the names in header")
        return self


class CsvFormat(Format):
    """Rows as documents, a field a column. An empty cell of a typed column is left out of the document."""

    kind: ClassVar[str] = "csv"
    summary: ClassVar[str] = "CSV: a row a record, columns typed as you say"
    content_type: ClassVar[str] = "text/csv"
    Settings: ClassVar[type[Settings]] = CsvSettings

    def __init__(self, settings: Any = None) -> None:
        settings = settings or CsvSettings.model_validate({})
        super().__init__(settings)
        readers = {name: reader(column) for name, column in settings.columns.items()}
        self._readers: Mapping[str, Read] = {name: read for name, read in readers.items() if read}
        self._newline = "\r\n".encode(bare(settings.encoding))
        self._writers = {name: writer(column) for name, column in settings.columns.items()}

    def read(self, stream: BinaryIO) -> Iterator[Record]:
        """A record a row. ``DecodeError`` when the header line itself is unusable, or too long to go with each row."""
        found = self._rows(stream)
        if isinstance(self.settings.header, tuple):
            return self._records(found, self.settings.header, b"")
        first = next(found, None)
        return iter(()) if first is None else self._records(found, self._names(first), self._ended(first.raw))

    def decode(self, body: bytes) -> Any:
        """The rows as a list of documents, or the one row's document when there is just one."""
        documents = []
        for record in self.read(io.BytesIO(body)):
            if record.error:
                raise DecodeError(f"record {record.number}: {record.error}")
            documents.append(record.document)
        return documents[0] if len(documents) == 1 else documents

    def encode(self, document: Any) -> bytes:
        """One document or a list of them as rows, behind a header line unless ``header`` lists the names."""
        if self.settings.rows is not None:
            document = self._listed(document, self.settings.rows)
        documents = document if isinstance(document, list) else [document]
        names = self._written_names(documents)
        buffer = io.StringIO()
        quoting: dict[str, Any] = (
            {"quotechar": self.settings.quote} if self.settings.quote else {"quoting": csv.QUOTE_NONE}
        )
        out = csv.writer(buffer, delimiter=self.settings.delimiter, lineterminator="\r\n", **quoting)
        if self.settings.header is True:
            self._write(out, 0, names)
        for number, one in enumerate(documents, 1):
            self._write(out, number, [self._cell(number, name, one.get(name)) for name in names])
        return self._encoded(buffer.getvalue())

    def join(self, raws: Sequence[bytes]) -> bytes:
        """The header line once, then all rows."""
        if self.settings.header is not True or not raws:
            return b"".join(self._ended(raw) for raw in raws)
        header = self._ended(next(self._rows(io.BytesIO(raws[0]))).raw)
        return header + b"".join(self._ended(raw.removeprefix(header)) for raw in raws)

    def _rows(self, stream: BinaryIO) -> Iterator[Row]:
        settings = self.settings
        for row in rows(stream, settings.encoding, settings.delimiter, settings.quote):
            if row.error or not settings.skip_blank or any(cell.strip() for cell in row.cells):
                yield row

    def _names(self, row: Row) -> tuple[str, ...]:
        names = tuple(cell.strip() for cell in row.cells)
        if row.error or _UNDECODED.search("".join(names)):
            raise DecodeError(
                f"the header line cannot be read: {row.error or _not_in(self.settings.encoding, ''.join(names))}"
            )
        _refuse_excess(len(row.raw), len(names))
        _refuse_doubles(names, DecodeError)
        for name in self.settings.columns:
            if name not in names:
                raise DecodeError(f"the header line has no column {name}; it has {', '.join(names)[:200]}")
        return names

    def _records(self, found: Iterator[Row], names: tuple[str, ...], header: bytes) -> Iterator[Record]:
        for number, row in enumerate(found, 1):
            yield self._record(number, row, names, header + row.raw)

    def _record(self, number: int, row: Row, names: tuple[str, ...], raw: bytes) -> Record:
        cells = [cell.strip() for cell in row.cells] if self.settings.trim else row.cells
        document: dict[str, Any] = dict(zip(names, cells, strict=False))
        error = row.error or self._fault(document, cells, names) or self._typed(document)
        return Record(number, document, raw, error)

    def _fault(self, document: dict[str, Any], cells: list[str], names: tuple[str, ...]) -> str:
        if len(cells) != len(names):
            return f"{len(cells)} columns where the header has {len(names)}"
        text = "".join(cells)
        if "\0" in text:
            return "it contains a NUL byte"
        if text.isascii() or not _UNDECODED.search(text):
            return ""
        name = next(name for name in names if _UNDECODED.search(document[name]))
        return f"column {name}: {_not_in(self.settings.encoding, document[name])}"

    def _typed(self, document: dict[str, Any]) -> str:
        """Turn typed cells into values, in place; the first fault."""
        for name, read in self._readers.items():
            text = document[name]
            if text == "" or text.isspace():
                del document[name]
                continue
            try:
                document[name] = read(text.strip())
            except ValueError as error:
                return f"column {name}: {error}"
        return ""

    def _listed(self, document: Any, name: str) -> list[Any]:
        rows = document.get(name) if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise DecodeError(f"the field {name} has no list of rows to write")
        return rows

    def _written_names(self, documents: list[Any]) -> list[str]:
        for number, one in enumerate(documents, 1):
            if not isinstance(one, dict):
                raise DecodeError(f"row {number} is not an object; CSV is written from one or a list of them")
        found = list(dict.fromkeys(name for one in documents for name in one))
        if not isinstance(self.settings.header, tuple):
            return found
        extra = [name for name in found if name not in self.settings.header]
        if extra:
            raise DecodeError(f"the field {extra[0]} is not one of the columns {', '.join(self.settings.header)}")
        return list(self.settings.header)

    def _cell(self, number: int, name: str, value: Any) -> str:
        if value is None:
            return ""
        try:
            text = self._writers.get(name, plain)(value)
        except ValueError as error:
            raise DecodeError(f"row {number}, column {name}: {error}") from error
        guarded = self.settings.guard_formulas and isinstance(value, str) and text.startswith(_FORMULA)
        return f"'{text}" if guarded else text

    def _ended(self, raw: bytes) -> bytes:
        """With a line end: only the last line of a stream may lack one."""
        return raw if raw.endswith(self._newline[len(self._newline) // 2 :]) or not raw else raw + self._newline

    def _write(self, out: Any, number: int, cells: list[str]) -> None:
        try:
            out.writerow(cells)
        except csv.Error as error:
            raise DecodeError(f"row {number} needs quotes, and quote is null: {error}") from error

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self.settings.encoding)
        except UnicodeEncodeError as error:
            row, column = text.count("\n", 0, error.start), text.rfind("\n", 0, error.start)
            cell = text[column + 1 : error.start + 1].rpartition(self.settings.delimiter)[2]
            raise DecodeError(
                f"row {row}, {cell[-40:]!r}: {text[error.start]!r} is not in {self.settings.encoding}"
            ) from error


def _refuse_excess(size: int, columns: int) -> None:
    """Every row carries the header line in its bytes, and its names in its document."""
    for found, most, unit in ((size, AROUND, "bytes"), (columns, COLUMNS, "columns")):
        if found > most:
            raise DecodeError(
                f"the header line has {found} {unit}, and at most {most} are taken, as each row carries it; check the "
                "delimiter, the quotes and the line ends, or name the columns in the settings (header)"
            )


def _refuse_doubles(names: Sequence[str], kind: type[Exception]) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if not name:
            raise kind(f"column {number} of the header has no name")
        if name in seen:
            raise kind(f"the column {name} stands twice in the header")
        seen.add(name)


def _not_in(encoding: str, text: str) -> str:
    match = _UNDECODED.search(text)
    byte = ord(match[0]) - 0xDC00 if match else 0
    return f"the byte 0x{byte:02X} is not {encoding}"
