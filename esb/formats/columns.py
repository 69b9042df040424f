"""Typed columns of tabular formats: a cell's text to a value, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from esb.formats.numbers import DIGITS, significant
from esb.ports import Settings
from esb.quoting import quote

Read = Callable[[str], Any]
Write = Callable[[Any], str]


class Booleans(Settings):
    """The words for true and false; the first of each is written."""

    yes: tuple[str, ...] = Field(alias="true", min_length=1, description="Words for true.")
    no: tuple[str, ...] = Field(alias="false", min_length=1, description="Words for false.")

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        """YAML reads unquoted ``true:`` as a truth value."""
        if not isinstance(value, dict):
            return value
        return {str(key).lower() if isinstance(key, bool) else key: words for key, words in value.items()}


class Column(Settings):
    """What the cells of one column are; exactly one of decimal, integer, date, boolean."""

    decimal: str | None = Field(None, description="A number with this decimal mark.")
    thousands: str | None = Field(None, description="With decimal or integer: this mark between groups is skipped.")
    integer: Literal[True] | None = Field(None, description="A whole number.")
    date: str | None = Field(None, description="A date or time in this strptime format; ISO 8601 in the document.")
    boolean: Booleans | None = Field(None, description="Words for true and false.")

    @field_validator("decimal", "thousands")
    @classmethod
    def _mark(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value.isalnum() or value in "+-"):
            raise ValueError("one character, such as a comma or a point, is needed")
        return value

    @field_validator("date")
    @classmethod
    def _format(cls, value: str | None) -> str | None:
        return value if value is None else strptime_format(value)

    @model_validator(mode="after")
    def _one(self) -> Column:
        kinds = [name for name in ("decimal", "integer", "date", "boolean") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError("say one of decimal, integer, date or boolean")
        if self.thousands and kinds[0] not in ("decimal", "integer"):
            raise ValueError("thousands goes with decimal or integer")
        if self.thousands and self.thousands == self.decimal:
            raise ValueError("thousands and decimal are the same mark")
        return self


def strptime_format(value: str) -> str:
    """Check a date format by using it once."""
    if "%" not in value:
        raise ValueError("text, or a date format such as %d.%m.%Y, is needed")
    try:
        datetime.strptime(datetime(2024, 2, 29, 13, 45, 59).strftime(value), value)
    except (ValueError, re.error) as error:
        raise ValueError(f"{value} is not a usable date format: {error}") from error
    return value


def _short(value: str) -> str:
    return value if value == "text" else strptime_format(value)


ColumnType = Annotated[
    Annotated[str, AfterValidator(_short), Tag("short")] | Annotated[Column, Tag("column")],
    Discriminator(lambda value: "short" if isinstance(value, str) else "column"),
]


def reader(column: str | Column) -> Read | None:
    """How a cell's text becomes a value (raising ``ValueError`` with the reason), or None for text as it stands."""
    if column == "text":
        return None
    if isinstance(column, str):
        return _date_reader(column)
    if column.date is not None:
        return _date_reader(column.date)
    if column.boolean is not None:
        return _boolean_reader(column.boolean)
    return _number_reader(column)


def writer(column: str | Column) -> Write:
    """How a value becomes a cell's text; raises ``ValueError`` with the reason."""
    if column == "text":
        return plain
    if isinstance(column, str):
        return _date_writer(column)
    if column.date is not None:
        return _date_writer(column.date)
    if column.boolean is not None:
        return _boolean_writer(column.boolean)
    return _number_writer(column.decimal or ".")


def plain(value: Any) -> str:
    """A scalar as text: numbers without exponent, ``true`` and ``false``, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"{quote(value, 40)} is not a single value; a cell holds text, a number or a truth value")


def _number_reader(column: Column) -> Read:
    mark, skipped, whole = column.decimal or ".", column.thousands, column.integer
    pattern = re.compile(r"[+-]?\d+" if whole else rf"[+-]?(?:\d+(?:{re.escape(mark)}\d*)?|{re.escape(mark)}\d+)")
    noun = "a whole number" if whole else f"a number with the decimal mark {mark}"

    def read(text: str) -> int | float:
        number = text.replace(skipped, "") if skipped else text
        if not number.isascii() or pattern.fullmatch(number) is None:
            raise ValueError(f"{quote(text, 40)} is not {noun}")
        number = number.replace(mark, ".")
        if significant(number) > DIGITS:
            raise ValueError(
                f"{quote(text, 40)} has more than {DIGITS} digits and would be rounded; make the column text"
            )
        value = float(number)
        if math.isinf(value):
            raise ValueError(f"{quote(text, 40)} is larger than numbers can be; make the column text")
        return int(number) if whole else value

    return read


def _number_writer(mark: str) -> Write:
    def write(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"{quote(value, 40)} is not a number")
        try:
            return f"{Decimal(str(value)):f}".replace(".", mark)
        except InvalidOperation as error:
            raise ValueError(f"{quote(value, 40)} is not a number") from error

    return write


def _date_reader(format: str) -> Read:
    shape = _iso_shape(format)

    def read(text: str) -> str:
        try:
            return shape(datetime.strptime(text, format)).isoformat()
        except ValueError as error:
            raise ValueError(f"{quote(text, 40)} is not a date like {format}") from error

    return read


def _iso_shape(format: str) -> Callable[[datetime], date | time | datetime]:
    """A date, a time of day, or both, by what the format tells."""
    told = set(re.findall(r"%(.)", format))
    if not told & set("HIpMSfcXTz"):
        return datetime.date
    if not told & set("dmybBYjcxDFUWG"):
        return datetime.time
    return lambda moment: moment


def _date_writer(format: str) -> Write:
    parse = time.fromisoformat if _iso_shape(format) is datetime.time else datetime.fromisoformat

    def write(value: Any) -> str:
        try:
            return parse(value).strftime(format)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{quote(value, 40)} is not an ISO 8601 date or time") from error

    return write


def _boolean_reader(words: Booleans) -> Read:
    known = {**dict.fromkeys(words.yes, True), **dict.fromkeys(words.no, False)}

    def read(text: str) -> bool:
        if text not in known:
            raise ValueError(f"{quote(text, 40)} is none of {', '.join(known)}")
        return known[text]

    return read


def _boolean_writer(words: Booleans) -> Write:
    def write(value: Any) -> str:
        if not isinstance(value, bool):
            raise ValueError(f"{quote(value, 40)} is not true or false")
        return words.yes[0] if value else words.no[0]

    return write
