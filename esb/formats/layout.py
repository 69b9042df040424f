"""Layouts of fixed-width records as settings: which field lies where, and which record is of which type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from esb.formats.columns import strptime_format
from esb.formats.encodings import known
from esb.ports import Settings

Kind = Literal["text", "integer", "decimal", "date", "packed", "zoned"]
Role = Literal["header", "detail", "trailer"]

_OWN: Mapping[str, frozenset[str]] = {
    "text": frozenset({"trim", "pad", "align"}),
    "integer": frozenset({"pad", "align", "sign"}),
    "decimal": frozenset({"scale", "mark", "pad", "align", "sign"}),
    "date": frozenset({"format"}),
    "packed": frozenset({"scale", "signed"}),
    "zoned": frozenset({"scale", "signed"}),
}
_ALL = frozenset({"at", "length", "type", "required", "const", "empty"})


class FixedField(Settings):
    """One field of a record."""

    at: int = Field(ge=1, description="Where it starts; the record's first byte is 1.")
    length: int = Field(ge=1, le=32_767, description="How many bytes it has.")
    type: Kind = Field(
        "text", description="What it holds; packed is COBOL's COMP-3, zoned has its sign in the last digit."
    )
    scale: int | None = Field(None, ge=0, le=15, description="Digits behind the decimal mark, which is not written.")
    mark: str | None = Field(
        None, min_length=1, max_length=1, description="For decimal: the mark stands in the text, as this character."
    )
    format: str | None = Field(None, description="For date: strptime format; ISO 8601 in the document.")
    trim: bool = Field(True, description="For text: fill characters at the padded side are removed.")
    pad: str | None = Field(
        None, min_length=1, max_length=1, description="Fill character. Default: a space for text, 0 for numbers."
    )
    align: Literal["left", "right"] | None = Field(None, description="Default: left for text, right for numbers.")
    sign: Literal["leading", "trailing"] = Field("leading", description="Where a minus is written; both are read.")
    signed: bool = Field(True, description="For packed and zoned: write the sign. false: negative values are refused.")
    required: bool = Field(False, description="Blank is an error, in both directions.")
    const: str | int | None = Field(
        None, description="The value it always has: checked when reading, filled in when writing."
    )
    empty: str | None = Field(None, description="What stands there for no value (00000000); blank always does.")

    @field_validator("format")
    @classmethod
    def _format(cls, value: str | None) -> str | None:
        return value if value is None else strptime_format(value)

    @model_validator(mode="after")
    def _together(self) -> FixedField:
        useless = self.model_fields_set - _ALL - _OWN[self.type]
        if useless:
            raise ValueError(f"{min(useless)} means nothing for {self.type}")
        if (self.type == "date") != (self.format is not None):
            raise ValueError("type: date needs its format, such as %Y%m%d")
        if self.type == "decimal" and self.scale is None and self.mark is None:
            raise ValueError("type: decimal needs scale (digits behind a mark that is not written) or mark")
        if self.mark and (self.mark.isalnum() or self.mark in "+- "):
            raise ValueError("mark: a comma or a point is usual")
        if self.empty is not None and (self.type == "packed" or len(self.empty) > self.length):
            raise ValueError(f"empty: a text of at most {self.length} characters is needed, and no packed field")
        self._constant()
        return self._padding()

    def _constant(self) -> None:
        if self.const is not None and isinstance(self.const, str) != (self.type in ("text", "date")):
            raise ValueError("const: a text for text and dates (in quotes), a number for numbers")
        if self.type == "text" and len(str(self.const or "")) > self.length:
            raise ValueError(f"const: it is longer than {self.length}")

    def _padding(self) -> FixedField:
        if self.type in ("integer", "decimal"):
            if self.align == "left" and (self.pad or "0").isdigit():
                raise ValueError("a number aligned left needs pad: ' ', for digits behind it would change it")
            if self.pad and (self.pad in "123456789+-" or self.pad == self.mark):
                raise ValueError("pad: this character would change the number")
        return self

    @property
    def numeric(self) -> bool:
        """Whether it is a number in documents."""
        return self.type not in ("text", "date")

    @property
    def end(self) -> int:
        """Its last byte, counted from 1."""
        return self.at + self.length - 1


class Place(Settings):
    """A text at a place tells the type."""

    at: int = Field(ge=1, description="Where it starts; the record's first byte is 1.")
    is_: str = Field(alias="is", min_length=1, description="What stands there.")


Match = Annotated[
    Annotated[Place, Tag("place")] | Annotated[dict[str, str | int], Tag("fields")],
    Discriminator(lambda value: "place" if isinstance(value, Place) or {*value} == {"at", "is"} else "fields"),
]


class Sum(Settings):
    """A field of the trailer that adds up a field of the details."""

    field: str = Field(description="Field of the trailer.")
    of: str = Field(description="Field of the details.")


class FixedRecord(Settings):
    """One type of record."""

    match: Match | None = Field(
        None, description="How it is told: {at: 1, is: H}, or values of fields. Without it: what no other type matches."
    )
    fields: dict[str, FixedField] = Field(min_length=1, description="Its fields.")
    role: Role | None = Field(None, description="Default: the type's name, if it is one of these, else detail.")
    carry: tuple[str, ...] = Field((), description="Fields of a header that go into each detail behind it.")
    count: str | None = Field(None, description="Field of a trailer that has the number of details.")
    sum: Sum | None = Field(None, description="Field of a trailer that has the sum of a field of the details.")

    @model_validator(mode="after")
    def _together(self) -> FixedRecord:
        check_overlaps(self.fields)
        named = [*self.carry, *([self.count] if self.count else []), *([self.sum.field] if self.sum else [])]
        for name in (*named, *(self.match if isinstance(self.match, dict) else ())):
            if name not in self.fields:
                raise ValueError(f"there is no field {name}")
        self._types(named[len(self.carry) :])
        return self

    def _types(self, figures: list[str]) -> None:
        for name in figures:
            if not self.fields[name].numeric:
                raise ValueError(f"{name} must be a number, to be checked")
        for name, value in self.match.items() if isinstance(self.match, dict) else ():
            if isinstance(value, int) != self.fields[name].numeric:
                raise ValueError(f"match: {name} is {self.fields[name].type}; a text needs quotes, a number none")

    @property
    def checked(self) -> bool:
        """Whether it is a trailer that is checked against the details."""
        return bool(self.count or self.sum)


def check_overlaps(fields: Mapping[str, FixedField]) -> None:
    """Raise ``ValueError`` when two fields share bytes; gaps between them are fine."""
    for (one, first), (other, second) in pairwise(sorted(fields.items(), key=lambda item: item[1].at)):
        if second.at <= first.end:
            raise ValueError(f"{other} starts at {second.at}, within {one}, which lies at {first.at} to {first.end}")


class FixedWidthSettings(Settings):
    """Where fields lie; either ``fields``, or ``records`` with several types."""

    encoding: str = Field("ascii", description="Character set with one byte a character: ascii, cp1252, cp037, cp273 …")
    record_length: int | None = Field(
        None, ge=1, le=1024**2, description="Bytes of each record, without line ends. Default: a record a line."
    )
    line_end: Literal["lf", "crlf", "nel"] = Field(
        "lf", description="Line end that is written; lf and crlf are both read, nel (U+0085) is EBCDIC's own."
    )
    characters: bool = Field(False, description="With utf-8: positions and lengths count characters, not bytes.")
    short_lines: bool = Field(False, description="Lines may end early: fields behind are blank.")
    fields: dict[str, FixedField] = Field(default_factory=dict, description="The fields, where all records are alike.")
    records: dict[str, FixedRecord] = Field(
        default_factory=dict, description="The types of records by name, which documents have as record."
    )

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        return known(value)

    @model_validator(mode="after")
    def _together(self) -> FixedWidthSettings:
        if bool(self.fields) == bool(self.records):
            raise ValueError("say either fields, or records with the fields of each type")
        self._character_set()
        self._lines()
        for where, fields in self.layouts():
            self._positions(where, fields)
        check_overlaps(self.fields)
        self._types()
        self._bookkeeping()
        return self

    def layouts(self) -> Iterator[tuple[str, Mapping[str, FixedField]]]:
        """The fields of each type, with a word in front of their names in sentences."""
        if self.fields:
            yield "", self.fields
        for name, record in self.records.items():
            yield f"{name}.", record.fields

    def role(self, name: str) -> Role:
        """What a type of record is in its file."""
        record = self.records[name]
        if record.role is not None:
            return record.role
        return "header" if name == "header" else "trailer" if name == "trailer" else "detail"

    def _character_set(self) -> None:
        utf8 = self.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        if self.characters and not utf8:
            raise ValueError("characters goes with utf-8; elsewhere a character is a byte")
        if self.characters and self.record_length:
            raise ValueError("record_length counts bytes, so characters cannot be counted beside it")
        if not self.characters and not single_byte(self.encoding):
            way = "; characters: true counts characters" if utf8 else ""
            raise ValueError(f"encoding: {self.encoding} has characters of several bytes, so places would move{way}")

    def _lines(self) -> None:
        if self.record_length:
            for name in ("line_end", "short_lines"):
                if name in self.model_fields_set:
                    raise ValueError(f"{name} means nothing where record_length tells where a record ends")
            return
        for where, fields in self.layouts():
            for name, field in fields.items():
                if field.type == "packed":
                    raise ValueError(f"{where}{name}: packed digits can look like a line end; give the record_length")
        if self.line_end == "nel" and not is_ebcdic(self.encoding):
            raise ValueError("line_end: nel belongs to EBCDIC")

    def _positions(self, where: str, fields: Mapping[str, FixedField]) -> None:
        for name, field in fields.items():
            if self.record_length and field.end > self.record_length:
                raise ValueError(f"{where}{name} ends at {field.end}, beyond record_length {self.record_length}")
            if field.pad and len(field.pad.encode(self.encoding, "ignore")) == 0:
                raise ValueError(f"{where}{name}: pad is not in {self.encoding}")

    def _types(self) -> None:
        open_ = [name for name, record in self.records.items() if record.match is None]
        if len(open_) > 1:
            raise ValueError(f"{open_[1]} needs a match: {open_[0]} already takes what no other type matches")
        for name, record in self.records.items():
            if "record" in record.fields:
                raise ValueError(f"{name}.record: this name is taken by the type of the record")
            place = record.match
            if isinstance(place, Place) and self.record_length and place.at + len(place.is_) - 1 > self.record_length:
                raise ValueError(f"{name}.match lies beyond record_length {self.record_length}")

    def _bookkeeping(self) -> None:
        """Only a header carries, only a trailer counts; no carried name hides a detail's own."""
        details = {name: record for name, record in self.records.items() if self.role(name) == "detail"}
        for name, record in self.records.items():
            if record.carry and self.role(name) != "header":
                raise ValueError(f"{name}: only a header has carry")
            if record.checked and self.role(name) != "trailer":
                raise ValueError(f"{name}: only a trailer has count and sum")
            if record.sum:
                found = [detail.fields[record.sum.of] for detail in details.values() if record.sum.of in detail.fields]
                if not found or not all(field.numeric for field in found):
                    raise ValueError(f"{name}.sum: no detail has a number {record.sum.of}")
            for detail, one in details.items():
                for field in record.carry:
                    if field in one.fields:
                        raise ValueError(f"{detail}.{field}: the header carries a field of this name")
        for role, option in (("header", "carry"), ("trailer", "count or sum")):
            having = [n for n, r in self.records.items() if self.role(n) == role and (r.carry or r.checked)]
            if len(having) > 1:
                raise ValueError(f"{having[1]}: {having[0]} has {option} already")


def single_byte(encoding: str) -> bool:
    """Whether each character is one byte, and each byte at most one character."""
    try:
        if any(len(character.encode(encoding, "ignore")) > 1 for character in "aäé€жあ漢"):
            return False
        return len(set(bytes(range(256)).decode(encoding, "surrogateescape"))) == 256
    except UnicodeError:
        return False


def is_ebcdic(encoding: str) -> bool:
    """Whether digits lie at 0xF0, as on mainframes."""
    return "0".encode(encoding) == b"\xf0"
