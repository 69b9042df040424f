"""Rows as claims: what a row is called, what it is, and what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any, BinaryIO

import msgspec
import sqlalchemy as sa

from esb.adapters.sql.settings import SqlSettings
from esb.adapters.sql.text import bindable
from esb.adapters.sql.values import plain, to_json
from esb.errors import EndpointError


class Row(msgspec.Struct, frozen=True):
    """A row that was read."""

    pk: tuple[Any, ...]  # as the driver has it
    key: str  # primary key and content, hashed
    content: bytes
    time: float | None
    values: Mapping[str, Any]  # all that was selected, by column

    @property
    def name(self) -> str:
        """What people call it: its primary key."""
        return "/".join(str(plain(value)) for value in self.pk)

    @property
    def plain_pk(self) -> tuple[Any, ...]:
        """The primary key as JSON has it."""
        return tuple(plain(value) for value in self.pk)


class RowClaim:
    """A row that was taken. See :class:`esb.ports.Claim`."""

    def __init__(self, row: Row, id: str, time: float, position: int, note: Callable[[RowClaim, int], None]) -> None:
        self.row = row
        self.id = id
        self.key = row.key
        self.name = row.name
        self.time = time
        self.position = position
        self._note = note

    def open(self) -> BinaryIO:
        """The row as it was taken."""
        return BytesIO(self.row.content)

    def advance(self, position: int) -> None:
        """Note the position where the taking is noted."""
        self._note(self, position)
        self.position = position


class Reader:
    """Selects rows of the table that is received from, and turns them into documents."""

    def __init__(self, endpoint: str, settings: SqlSettings) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._marking = settings.status.columns if settings.status else ()
        extra = (settings.body, settings.time, settings.seen.time if settings.seen else None)
        self._extra = tuple(name for name in extra if name)
        self._text = frozenset(settings.text)

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that the settings name."""
        ordered = tuple(name for name, _ in self._settings.sorting())
        return (*self._settings.key, *self._settings.columns, *self._marking, *self._extra, *ordered, *self._text)

    def key(self, table: sa.Table) -> list[sa.Column[Any]]:
        """The columns that identify a row."""
        return [table.c[name] for name in self._settings.key]

    def query(self, table: sa.Table) -> sa.Select[Any]:
        """All that makes a row, of all rows."""
        wanted = {*self._settings.key, *self._content(table), *self._extra, *self._marking}
        return sa.select(*(column for column in table.c if column.name in wanted))

    def condition(self) -> sa.ColumnElement[bool] | sa.TextClause:
        """What the settings say about the rows to take."""
        return sa.text("(" + bindable(self._settings.where) + ")") if self._settings.where else sa.true()

    def ordered(self, table: sa.Table) -> list[Any]:
        """The order to take rows in."""
        return [table.c[name].desc() if down else table.c[name].asc() for name, down in self._settings.sorting()]

    def rows(self, table: sa.Table, found: Sequence[Any]) -> list[Row]:
        """The rows of a result. Raises ``EndpointError`` when two have one key."""
        rows = [self._row(table, one._mapping) for one in found]
        if len({row.pk for row in rows}) < len(rows):
            listed = ", ".join(self._settings.key)
            raise EndpointError(f"{self._endpoint}: ({listed}) does not identify a row of {self._settings.table}")
        return rows

    def _row(self, table: sa.Table, values: Mapping[str, Any]) -> Row:
        pk = tuple(values[name] for name in self._settings.key)
        if self._settings.body:
            content = _bytes(values[self._settings.body])
        else:
            content = to_json({name: values[name] for name in self._content(table)}, self._text)
        digest = hashlib.sha256(msgspec.json.encode([plain(value) for value in pk]) + b"\0" + content)
        time = epoch(values[self._settings.time]) if self._settings.time else None
        return Row(pk, digest.hexdigest(), content, time, dict(values))

    def _content(self, table: sa.Table) -> list[str]:
        """The columns of the message, in the table's order, so that their order in the settings does not matter."""
        if self._settings.body:
            return []
        chosen = set(self._settings.columns or table.c.keys()) - set(self._marking) | set(self._settings.key)
        return [name for name in table.c.keys() if name in chosen]  # noqa: SIM118 - a collection of columns


def among(columns: Sequence[sa.Column[Any]], keys: Sequence[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    """The rows with one of these primary keys."""
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return sa.tuple_(*columns).in_(list(keys))


def epoch(value: Any) -> float | None:
    """A date, time or number as seconds since the epoch (without a zone: UTC); None for what is none of these."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return value if isinstance(value, int) else float(value)
    return None


def _bytes(value: Any) -> bytes:
    if value is None:
        return b""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
