"""Rows that carry no mark: deleted when done, or left alone and remembered."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from esb.adapters.sql.database import Database
from esb.adapters.sql.notes import Note, Notes
from esb.adapters.sql.rows import Reader, Row, RowClaim, among, epoch
from esb.adapters.sql.settings import SqlSettings
from esb.adapters.sql.tables import Tables, declared
from esb.adapters.sql.values import to_column
from esb.errors import EndpointError

_PAGE = 500  # rows compared with the notes at once
_DAY = 86400.0


class _Source(ABC):
    """What both ways have in common: the notes say what is being read, and what must not come again."""

    def __init__(self, endpoint: str, settings: SqlSettings, database: Database, tables: Tables, notes: Notes) -> None:
        assert settings.table
        self._endpoint = endpoint
        self._name = settings.table
        self._database = database
        self._tables = tables
        self._notes = notes
        self._reader = Reader(endpoint, settings)

    def claim(self, owner: str, limit: int) -> list[RowClaim]:
        """What is noted as taken first, then what is new."""
        with self._database.transaction(f"read {self._name}", reading=True) as connection:
            table = self._tables.get(connection, self._name, self._reader.named)
            rows = self._begun(connection, table)
            if len(rows) < limit:
                rows += self._fresh(connection, table, {row.key for row in rows}, limit - len(rows))
        rows, now = rows[:limit], time.time()
        notes = self._notes.take([(row.key, row.plain_pk, row.time or now) for row in rows]) if rows else []
        return [self._claim(row, note) for row, note in zip(rows, notes, strict=True)]

    def release(self, claim: RowClaim) -> None:
        """It was never marked: only the note goes."""
        self._notes.drop([claim.key])

    @abstractmethod
    def _fresh(self, connection: sa.Connection, table: sa.Table, begun: set[str], room: int) -> list[Row]:
        """Up to ``room`` rows that are neither seen nor begun."""

    def _claim(self, row: Row, note: Note) -> RowClaim:
        return RowClaim(row, note.id, note.time, note.position, lambda claim, at: self._notes.advance(claim.key, at))

    def _begun(self, connection: sa.Connection, table: sa.Table) -> list[Row]:
        """The rows noted as taken, as they were; the note of one that changed or went away is dropped."""
        notes, key = self._notes.open(), self._reader.key(table)
        if not notes:
            return []
        pks = [tuple(to_column(column, value) for column, value in zip(key, note.pk, strict=True)) for note in notes]
        found = connection.execute(self._reader.query(table).where(among(key, pks))).fetchall()
        rows = {row.key: row for row in self._reader.rows(table, found)}
        for note in notes:
            if note.key not in rows:
                self._notes.drop([note.key])
        return [rows[note.key] for note in notes if note.key in rows]

    def _pages(self, connection: sa.Connection, table: sa.Table, query: sa.Select[Any]) -> Iterator[list[Row]]:
        """Streamed: a table of any size never lies in memory."""
        result = connection.execute(query, execution_options={"yield_per": _PAGE})
        for page in result.partitions():
            yield self._reader.rows(table, page)


class DeleteSource(_Source):
    """Deletes each row when all that was in it is in the bus. What cannot be read stays, and is noted."""

    def done(self, claims: Sequence[RowClaim]) -> None:
        """Delete them, except what changed meanwhile: that comes again, as it is now."""
        keys = [claim.key for claim in claims]
        kept = self._notes.seen(keys)
        if gone := [claim for claim in claims if claim.key not in kept]:
            with self._database.transaction(f"delete rows of {self._name}") as connection:
                self._delete(connection, gone)
        self._notes.drop(keys)

    def reject(self, claim: RowClaim, reason: str) -> None:
        """Leave it where it is, and note why it does not come again."""
        self._notes.see([(claim.key, None)], reason)

    def _delete(self, connection: sa.Connection, claims: Sequence[RowClaim]) -> None:
        table = self._tables.get(connection, self._name, self._reader.named)
        key, wanted = self._reader.key(table), {claim.key for claim in claims}
        mine = among(key, [claim.row.pk for claim in claims])
        found = connection.execute(self._reader.query(table).where(mine).with_for_update()).fetchall()
        if same := [row.pk for row in self._reader.rows(table, found) if row.key in wanted]:
            connection.execute(sa.delete(table).where(among(key, same)))

    def _fresh(self, connection: sa.Connection, table: sa.Table, begun: set[str], room: int) -> list[Row]:
        query = self._reader.query(table).where(self._reader.condition()).order_by(*self._reader.ordered(table))
        fresh: list[Row] = []
        for page in self._pages(connection, table, query):
            known = begun | self._notes.seen(row.key for row in page)
            fresh += [row for row in page if row.key not in known]
            if len(fresh) >= room:
                break
        return fresh[:room]


class SeenSource(_Source):
    """Reads a table that must not be changed; never ``id > last``, which loses what is committed late.

    A row counts as seen when it is done. The mark is the time of the oldest row that is not seen yet (or of the
    newest row when all are), and each reading begins ``overlap`` before it.
    """

    def __init__(self, endpoint: str, settings: SqlSettings, database: Database, tables: Tables, notes: Notes) -> None:
        super().__init__(endpoint, settings, database, tables, notes)
        assert settings.seen
        self._time = settings.seen.time
        self._overlap = settings.seen.overlap

    def done(self, claims: Sequence[RowClaim]) -> None:
        """Remember them."""
        self._notes.see([(claim.key, self._at(claim.row)) for claim in claims])

    def reject(self, claim: RowClaim, reason: str) -> None:
        """Remember it, with the reason."""
        self._notes.see([(claim.key, self._at(claim.row))], reason)

    def _fresh(self, connection: sa.Connection, table: sa.Table, begun: set[str], room: int) -> list[Row]:
        fresh: list[Row] = []
        oldest, newest = math.inf, -math.inf
        for page in self._pages(connection, table, self._query(table)):
            seen = self._notes.seen(row.key for row in page)
            unseen = [row for row in page if row.key not in seen]
            fresh += [row for row in unseen if row.key not in begun]
            oldest = min([oldest, *self._times(unseen)])
            newest = max([newest, *self._times(page)])
            if len(fresh) >= room:
                break
        self._move_mark(table, min(oldest, newest))
        return fresh[:room]

    def _query(self, table: sa.Table) -> sa.Select[Any]:
        query = self._reader.query(table).where(self._reader.condition())
        if not self._time:
            return query.order_by(*self._reader.ordered(table))
        column, mark = table.c[self._time], self._notes.mark
        if mark is not None:
            query = query.where(sa.or_(_since(column, mark - self._overlap), column.is_(None)))
        return query.order_by(column, *self._reader.ordered(table))

    def _move_mark(self, table: sa.Table, at: float) -> None:
        before = self._notes.mark
        if self._time and math.isfinite(at) and (before is None or at > before):
            # A day and more is kept beyond the window, because dates are read from their beginning.
            self._notes.move_mark(at, at - self._overlap - 3 * _DAY)

    def _times(self, rows: list[Row]) -> list[float]:
        return [at for at in map(self._at, rows) if at is not None]

    def _at(self, row: Row) -> float | None:
        """Where the row stands in time; None (always looked at) for NULL, and where there is no such column."""
        value = row.values[self._time] if self._time else None
        at = epoch(value)
        if at is None and value is not None:
            raise EndpointError(f"{self._endpoint}: {self._name}.{self._time} holds {value!r}: no date, time or number")
        return at


def _since(column: sa.Column[Any], at: float) -> sa.ColumnElement[bool]:
    """Is the column at that moment or later? In doubt, yes.

    SQLite compares what is there, whatever is declared: numbers, or texts in any form of ISO 8601, of which none of
    that moment is smaller than the date of the day before.
    """
    kind, moment = declared(column), datetime.fromtimestamp(at, UTC)
    if isinstance(column.type, sa.types.NullType):
        day = datetime.fromtimestamp(at - _DAY, UTC).date().isoformat()
        return column >= sa.case((sa.func.typeof(column) == "text", sa.literal(day)), else_=sa.literal(at))
    if isinstance(kind, sa.Numeric | sa.Integer):
        return column >= at
    if isinstance(kind, sa.DateTime):
        return column >= (moment if kind.timezone else moment.replace(tzinfo=None))
    return column >= moment.date()
