"""JSON (RFC 8259): one document, one document a line (JSON Lines), or the elements of an array."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, ClassVar, Literal

import msgspec
from pydantic import Field, field_validator, model_validator

from esb.errors import DecodeError
from esb.formats.encodings import known, spans_bytes
from esb.formats.numbers import decode_json
from esb.message import JSON
from esb.ports import Format, Record, Settings

LARGEST = 64 * 1024**2  # bytes of a document that must be read as a whole
LONGEST = 8 * 1024**2  # bytes of a line

_encode = msgspec.json.Encoder().encode
_raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class JsonSettings(Settings):
    """How JSON comes and goes."""

    records: Literal["lines", "array"] | None = Field(
        None, description="lines: a document on each line. array: each element is a record. Default: one document."
    )
    pointer: str = Field("", description="For array: JSON pointer to it, by object keys (/data/orders).")
    indent: int | None = Field(None, ge=0, le=8, description="Spaces a level when writing; default compact.")
    encoding: str = Field("utf-8", description="Character set; utf-8-sig also reads a byte-order mark.")

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        return known(value)

    @field_validator("pointer")
    @classmethod
    def _pointer(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("a JSON pointer starts with /")
        return value

    @model_validator(mode="after")
    def _together(self) -> JsonSettings:
        if self.pointer and self.records != "array":
            raise ValueError("pointer goes with records: array")
        if self.records == "lines" and spans_bytes(self.encoding):
            raise ValueError(f"records: lines cannot be told apart in {self.encoding}")
        if self.records == "lines" and self.indent is not None:
            raise ValueError("records: lines has each document on one line, so indent cannot be used")
        return self


class JsonFormat(Format):
    """JSON documents; numbers that would be rounded are refused."""

    kind: ClassVar[str] = "json"
    summary: ClassVar[str] = "JSON: one document, JSON Lines, or an array of records"
    content_type: ClassVar[str] = JSON
    Settings: ClassVar[type[Settings]] = JsonSettings

    def __init__(self, settings: Any = None) -> None:
        settings = settings or JsonSettings.model_validate({})
        super().__init__(settings)
        self._utf8 = codecs.lookup(settings.encoding).name == "utf-8"
        self._keys = [key.replace("~1", "/").replace("~0", "~") for key in settings.pointer.split("/")[1:]]
        self._front = b"".join(b"{" + _encode(key) + b":" for key in self._keys) + b"["
        self._back = b"]" + b"}" * len(self._keys)

    def read(self, stream: BinaryIO) -> Iterator[Record]:
        """Lines are streamed; an array or a single document is read as a whole, up to 64 MB."""
        if self.settings.records == "lines":
            return self._lines(stream)
        body = stream.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise DecodeError(f"the document is larger than {LARGEST // 1024**2} MB; send it as JSON Lines")
        if self.settings.records == "array":
            return self._elements(body)
        return iter([self._record(1, body, body)])

    def decode(self, body: bytes) -> Any:
        """The document; of JSON Lines a list of documents, or the one when there is one."""
        if self.settings.records == "lines":
            return _one_or_all([self._document(line) for line in body.splitlines() if line.strip()])
        return self._document(body)

    def encode(self, document: Any) -> bytes:
        """A list becomes lines or array elements where ``records`` says so."""
        if self.settings.records == "lines":
            return self._recoded(b"".join(_written(item) + b"\n" for item in _as_list(document)))
        if self.settings.records == "array":
            document = _as_list(document)
            for key in reversed(self._keys):
                document = {key: document}
        body = _written(document)
        if self.settings.indent is not None:
            body = msgspec.json.format(body, indent=self.settings.indent)
        return self._recoded(body)

    def join(self, raws: Sequence[bytes]) -> bytes:
        """Raw lines follow each other; raw elements come back into one array."""
        if self.settings.records == "lines":
            return b"".join(raw if raw.endswith(b"\n") else raw + b"\n" for raw in raws)
        if self.settings.records == "array" and self._utf8:
            inner = (raw[len(self._front) : -len(self._back)] for raw in raws)
            return self._front + b",".join(inner) + self._back
        return b"".join(raws)

    def _lines(self, stream: BinaryIO) -> Iterator[Record]:
        number = 0
        while line := stream.readline(LONGEST + 1):
            if not line.strip():
                continue
            number += 1
            if len(line) > LONGEST:
                _skip_line(stream, line)
                yield Record(number, raw=line, error=f"the line is longer than {LONGEST // 1024**2} MB")
            else:
                yield self._record(number, line, line)

    def _elements(self, body: bytes) -> Iterator[Record]:
        try:
            inner = msgspec.Raw(self._as_utf8(body))
            for key in self._keys:
                inner = _raw_object(inner)[key]
            elements = _raw_list(inner)
        except KeyError as error:
            raise DecodeError(f"there is no {self.settings.pointer} in the document") from error
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._document(body)  # a fault of the document as a whole tells more
            raise DecodeError(f"there is no array at {self.settings.pointer or 'the top'}: {error}") from error
        return (self._element(number, bytes(element)) for number, element in enumerate(elements, 1))

    def _element(self, number: int, element: bytes) -> Record:
        raw = self._front + element + self._back
        return self._record(number, element, raw, utf8=True)

    def _record(self, number: int, body: bytes, raw: bytes, *, utf8: bool = False) -> Record:
        try:
            return Record(number, decode_json(body) if utf8 else self._document(body), raw)
        except DecodeError as error:
            return Record(number, raw=raw, error=str(error))

    def _document(self, body: bytes) -> Any:
        try:
            return decode_json(self._as_utf8(body))
        except UnicodeDecodeError as error:
            raise DecodeError(
                f"byte {error.start} (0x{body[error.start]:02X}) is not {self.settings.encoding}"
            ) from error

    def _as_utf8(self, body: bytes) -> bytes:
        return body if self._utf8 else body.decode(self.settings.encoding).encode()

    def _recoded(self, body: bytes) -> bytes:
        try:
            return body if self._utf8 else body.decode().encode(self.settings.encoding)
        except UnicodeEncodeError as error:
            at = body.decode()[error.start]
            raise DecodeError(f"the character {at!r} is not in {self.settings.encoding}") from error


def _written(document: Any) -> bytes:
    try:
        return _encode(document)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DecodeError(f"the document cannot be written as JSON: {error}") from error


def _skip_line(stream: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(LONGEST)


def _as_list(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]


def _one_or_all(documents: list[Any]) -> Any:
    return documents[0] if len(documents) == 1 else documents
