"""Rows marked in a column of theirs: new, taken, done, error."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from esb.adapters.sql.database import Database
from esb.adapters.sql.notes import Notes
from esb.adapters.sql.rows import Reader, Row, RowClaim, among
from esb.adapters.sql.settings import SqlSettings
from esb.adapters.sql.tables import Tables
from esb.errors import EndpointError

_LONGEST_REASON = 250  # characters; the column may take fewer, which the database then says
_MARK = re.compile(r"(?P<taking>\S+ (?P<at>\S+) \S+?)(?:@(?P<position>\d+))?")


class StatusSource:
    """Takes rows by marking them.

    With a ``mark`` column a taking is told apart from all others, by itself and on any machine, and only rows marked
    for this endpoint are resumed; without one the notes keep ids, and all rows that are taken count as ours.
    """

    def __init__(self, endpoint: str, settings: SqlSettings, database: Database, tables: Tables, notes: Notes) -> None:
        assert settings.status and settings.table
        self._endpoint = endpoint
        self._status = settings.status
        self._name = settings.table
        self._one_record = settings.body is None
        self._database = database
        self._tables = tables
        self._notes = notes
        self._reader = Reader(endpoint, settings)

    def claim(self, owner: str, limit: int) -> list[RowClaim]:
        """What is taken already first, then new rows."""
        with self._database.transaction(f"take rows of {self._name}") as connection:
            table = self._table(connection)
            rows = self._rows(connection, table, self._ours(table), limit)
            if len(rows) < limit:
                keys = self._take(connection, table, owner, limit - len(rows))
                rows += self._rows(connection, table, among(self._reader.key(table), keys), limit) if keys else []
        return self._claims(rows)

    def done(self, claims: Sequence[RowClaim]) -> None:
        """Mark those done that are still ours."""
        self._settle(claims, self._status.done)

    def reject(self, claim: RowClaim, reason: str) -> None:
        """Mark it as not readable, with the reason."""
        self._settle([claim], self._status.error, {self._status.reason: reason[:_LONGEST_REASON]})

    def release(self, claim: RowClaim) -> None:
        """Mark it new again."""
        self._settle([claim], self._status.new, {self._status.mark: None})

    # ------------------------------------------------------------------------------------------------------------

    def _table(self, connection: sa.Connection) -> sa.Table:
        return self._tables.get(connection, self._name, self._reader.named)

    def _ours(self, table: sa.Table) -> sa.ColumnElement[bool]:
        taken = _is(table.c[self._status.column], self._status.taken)
        if not self._status.mark:
            return taken
        return sa.and_(taken, table.c[self._status.mark].startswith(f"{self._endpoint} ", autoescape=True))

    def _rows(self, connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool], limit: int) -> list[Row]:
        query = self._reader.query(table).where(which).order_by(*self._reader.ordered(table)).limit(limit)
        return self._reader.rows(table, connection.execute(query).fetchall())

    def _take(self, connection: sa.Connection, table: sa.Table, owner: str, limit: int) -> Sequence[tuple[Any, ...]]:
        """Mark up to ``limit`` new rows, and return their primary keys.

        They are read again afterwards: a trigger or ``ON UPDATE`` may change a row that is marked, and its hash must be
        the one that an heir will find.
        """
        key, new = self._reader.key(table), _is(table.c[self._status.column], self._status.new)
        query = sa.select(*key).where(new, self._reader.condition()).order_by(*self._reader.ordered(table)).limit(limit)
        change = sa.update(table).where(new).values(self._taken(owner))
        if self._database.skips_locked:
            keys = [tuple(row) for row in connection.execute(query.with_for_update(skip_locked=True))]
            if keys:
                connection.execute(change.where(among(key, keys)))
            return keys
        keys = [tuple(row) for row in connection.execute(query)]
        return [one for one in keys if self._won(connection.execute(change.where(among(key, [one]))).rowcount)]

    def _won(self, rows: int) -> bool:
        """Did the conditional update get its row, or was somebody quicker?"""
        if rows > 1:
            raise EndpointError(f"{self._endpoint}: settings.key does not identify a row of {self._name}")
        return rows == 1

    def _taken(self, owner: str) -> dict[str, Any]:
        values: dict[str, Any] = {self._status.column: self._status.taken}
        if self._status.mark:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            values[self._status.mark] = f"{self._endpoint} {now} {owner[-12:].replace(' ', '_') or '-'}"
        return values

    def _claims(self, rows: list[Row]) -> list[RowClaim]:
        if self._status.mark:
            return [self._marked(row, str(row.values[self._status.mark])) for row in rows]
        now = time.time()
        notes = self._notes.take([(row.key, row.plain_pk, row.time or now) for row in rows]) if rows else []
        pairs = zip(rows, notes, strict=True)
        return [RowClaim(row, note.id, note.time, note.position, self._advance) for row, note in pairs]

    def _marked(self, row: Row, mark: str) -> RowClaim:
        match = _MARK.fullmatch(mark)
        taking, at = (match["taking"], match["at"]) if match else (mark, "")
        id = hashlib.sha256(f"{taking}\0{row.name}".encode()).hexdigest()[:32]
        position = int(match["position"] or 0) if match else 0
        return RowClaim(row, id, row.time or _when(at), position, self._advance)

    def _advance(self, claim: RowClaim, position: int) -> None:
        """A row that is one record has no places within; repeating it gives the same id."""
        if self._one_record:
            return
        if not self._status.mark:
            self._notes.advance(claim.key, position)
            return
        mark = str(claim.row.values[self._status.mark]).partition("@")[0]
        self._change([claim], {self._status.mark: f"{mark}@{position}"})

    def _settle(self, claims: Sequence[RowClaim], state: Any, more: dict[str | None, Any] | None = None) -> None:
        values = {name: value for name, value in (more or {}).items() if name}
        self._change(claims, {self._status.column: state} | values)
        if not self._status.mark:
            self._notes.drop([claim.key for claim in claims])

    def _change(self, claims: Sequence[RowClaim], values: dict[str, Any]) -> None:
        """Change the rows of claims, except those that are settled already or somebody else's by now."""
        with self._database.transaction(f"mark rows of {self._name}") as connection:
            table = self._table(connection)
            mine = among(self._reader.key(table), [claim.row.pk for claim in claims])
            connection.execute(sa.update(table).where(self._ours(table), mine).values(values))


def _is(column: sa.Column[Any], value: Any) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _when(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
