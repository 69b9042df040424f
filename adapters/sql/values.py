"""Values on their way from a row into a document, and from a document into a column."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.adapters.sql.tables import declared
from esb.errors import Refused

DIGITS = 15  # significant digits that a number keeps on its way through the bus
_encode = msgspec.json.Encoder(decimal_format="number").encode
_encode_json = msgspec.json.Encoder().encode


def to_json(values: Mapping[str, Any], text: frozenset[str] = frozenset()) -> bytes:
    """A row as a JSON object. Numbers of columns in ``text``, and those that would be rounded, become text."""
    return _encode({name: as_text(plain(value)) if name in text else plain(value) for name, value in values.items()})


def plain(value: Any) -> Any:
    """What JSON can say: dates in ISO 8601, bytes in base64, long numbers as text."""
    for kinds, turn in _PLAIN:
        if isinstance(value, kinds):
            return turn(value)
    return str(value)


def as_text(value: Any) -> Any:
    """A number as text; everything else as it is."""
    return str(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else value


def _number(value: Any) -> Any:
    decimal = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not decimal.is_finite():
        return str(value)
    digits = "".join(map(str, decimal.as_tuple().digits)).strip("0")
    return value if len(digits) <= DIGITS else str(value)


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _span(value: timedelta) -> str:
    """Hours, minutes and seconds, as MariaDB's TIME: more than 24 hours, or less than none."""
    seconds = abs(value).seconds + abs(value).days * 86400
    tail = f".{abs(value).microseconds:06}" if value.microseconds else ""
    sign = "-" if value < timedelta() else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{tail}"


_PLAIN: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((str, bool, type(None)), lambda value: value),
    ((int, float, Decimal), _number),
    (datetime, _moment),
    ((date, time), lambda value: value.isoformat()),
    (timedelta, _span),
    ((bytes, bytearray, memoryview), lambda value: base64.b64encode(value).decode()),
    (Mapping, lambda value: {str(key): plain(item) for key, item in value.items()}),
    ((list, tuple, set, frozenset), lambda value: [plain(item) for item in value]),
)


# --- into a column ------------------------------------------------------------------------------------------------


def to_column(column: sa.Column[Any], value: Any) -> Any:
    """A document's value as the column takes it. Raises ``Refused`` naming column, type and value."""
    if value is None:
        return None
    kind = declared(column)
    try:
        converted = _convert(kind, value)
    except (ValueError, TypeError, InvalidOperation, OverflowError, binascii.Error) as error:
        raise Refused(f"column {column.name} ({kind}) cannot take {_shown(value)}: {error}") from error
    return _for_sqlite(converted) if isinstance(column.type, sa.types.NullType) else converted


def scalar(name: str, value: Any) -> Any:
    """A value for a parameter whose type nobody knows. Raises ``Refused`` unless it is a single one."""
    if isinstance(value, Mapping | list):
        raise Refused(f"parameter :{name} takes a single value, and the message has {_shown(value)}")
    return _text(value) if isinstance(value, str) else value


def _convert(kind: Any, value: Any) -> Any:
    for kinds, turn in _CONVERT:
        if isinstance(kind, kinds):
            return turn(value)
    if isinstance(kind, sa.DateTime):
        return _moment_for(kind.timezone, value)
    if isinstance(kind, sa.ARRAY):
        return [None if item is None else _convert(kind.item_type, item) for item in _listed(value)]
    if isinstance(kind, sa.String):
        return _fitting(value, kind.length)
    return scalar("value", value)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is needed")
    return value


def _boolean(value: Any) -> bool:
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    if isinstance(value, Mapping | list) or value not in known:
        raise ValueError("true or false is needed")
    return known[value]


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a number is needed")
    try:
        return Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError("a number is needed") from None


def _integer(value: Any) -> int:
    number = _decimal(value)
    if not number.is_finite() or number != int(number):
        raise ValueError("a whole number is needed")
    return int(number)


def _moment_for(zoned: bool, value: Any) -> datetime:
    """A time without a zone counts as UTC, and is kept in UTC where the column has none."""
    moment = datetime.fromisoformat(_iso(value))
    if zoned:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _iso(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a date or time in ISO 8601 is needed")
    return value


def _binary(value: Any) -> bytes:
    return base64.b64decode(_iso(value), validate=True)


def _fitting(value: Any, length: int | None) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("text is needed")
    text = _text(str(value))
    if length is not None and len(text) > length:
        raise ValueError(f"it has {len(text)} characters, and {length} fit")
    return text


def _text(value: str) -> str:
    """Raises ``Refused`` for what no database keeps."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"half of a character pair stands in {_shown(value)}: no database keeps that") from error
    if "\0" in value:
        raise Refused(f"a NUL character stands in {_shown(value)}: no database keeps that")
    return value


_CONVERT: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (sa.Boolean, _boolean),
    (sa.Integer, _integer),
    (sa.Float, lambda value: float(_decimal(value))),
    (sa.Numeric, _decimal),
    (sa.Date, lambda value: date.fromisoformat(_iso(value))),
    (sa.Time, lambda value: time.fromisoformat(_iso(value))),
    (sa.types._Binary, _binary),
    (sa.Uuid, lambda value: uuid.UUID(_iso(value))),
    (sa.JSON, lambda value: value),
)


def _for_sqlite(value: Any) -> Any:
    """SQLite's five kinds of value; numbers go as text, which a numeric column turns into the nearest it can keep."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping | list):
        return _encode_json(value).decode()
    return str(value) if isinstance(value, Decimal | uuid.UUID) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
