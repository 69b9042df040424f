"""Transactions on PostgreSQL in pipeline mode: what nobody waits for travels with what comes next.

A transaction that only writes is one round trip, with its BEGIN and its COMMIT; each answer that is read is one more.
After a statement fails the server skips all others up to the next Sync, the COMMIT among them (libpq, "Pipeline Mode").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from esb.errors import StoreError
from esb.store.connection import ANYWHERE, Connection, Row, blobs, handing_over
from esb.store.seal import Seal

_WRITING = "BEGIN"
_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_COPIED = 20  # rows from which on COPY is worth its three round trips
_NOT_UNIQUE = "23505"  # PostgreSQL's code, appendix A


class PipelinedConnection(Connection):
    """As :class:`Connection`, on psycopg itself: SQLAlchemy would wait for the answer to each statement.

    The driver's connection commits by itself, so that BEGIN and COMMIT are statements like all others.
    """

    def __init__(self, connection: sa.Connection, seal: Seal, reading: bool = False) -> None:
        """Args: as there."""
        super().__init__(connection, seal, reading)
        self._begun = False
        self._pipeline: Any = None
        self._entered: Any = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See :meth:`Connection.transaction`. The first statement begins it."""
        try:
            yield
            if self._begun:
                self._commit()
        except BaseException:
            self._roll_back()
            raise

    def rows(self, sql: str, values: Row = ()) -> Sequence[Any]:
        """See :meth:`Connection.rows`."""
        found: Sequence[Any] = self._send(sql, values).fetchall()
        return found

    def row(self, sql: str, values: Row = ()) -> Any:
        """See :meth:`Connection.row`."""
        return self._send(sql, values).fetchone()

    def run(self, sql: str, values: Row = ()) -> int:
        """See :meth:`Connection.run`."""
        cursor = self._send(sql, values)
        self._pipeline.sync()
        return int(cursor.rowcount)

    def many(self, sql: str, rows: Sequence[tuple[Any, ...]], large: slice = ANYWHERE) -> None:
        """See :meth:`Connection.many`. What is wrong with a row is raised by a later statement, or by the commit."""
        if rows:
            self._start()
            with handing_over():
                self._driver.cursor().executemany(_psycopg(sql), rows)
            self._note(rows, large)

    def load(
        self, sql: str, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], new: bool = False
    ) -> None:
        """See :meth:`Connection.load`. Many rows come by COPY: new ones into the table itself, which the server writes
        page by page then; others through a table of the session, in half the time of single statements.

        In both no row may meet another of the same statement.
        """
        if len(rows) < _COPIED or len({row[:2] for row in rows}) < len(rows):
            super().load(sql, table, columns, rows)
            return
        self._note(rows, blobs(table, tuple(columns)))
        if new and self._straight(table, columns, rows):
            return
        target = f"{table.name}_in"
        # The session's own; asked for each time, since one that is rolled back takes it along.
        self.many(f"CREATE TEMPORARY TABLE IF NOT EXISTS {target} (LIKE {table.name}) ON COMMIT DELETE ROWS", [()])
        self._copy(target, table, columns, rows)
        self.many(sql.format(rows=f"SELECT {', '.join(columns)} FROM {target}"), [()])

    def _straight(self, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> bool:
        """False, and nothing done, where one of them is there already: somebody else has run a copy of its message."""
        self.many("SAVEPOINT straight", [()])
        try:
            self._copy(table.name, table, columns, rows)
        except Exception as error:
            if getattr(error, "sqlstate", None) != _NOT_UNIQUE:
                raise
            self._driver.execute("ROLLBACK TO SAVEPOINT straight", prepare=False)
            return False
        return True

    def _copy(self, target: str, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """What psycopg raises here is translated around the transaction."""
        driver = self._alone()
        with driver.cursor().copy(f"COPY {target} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(_types(table, tuple(columns), self._connection.dialect))
            with handing_over():
                for row in rows:
                    copy.write_row(row)

    def select(self, statement: sa.Select[Any]) -> Sequence[Any]:
        """See :meth:`Connection.select`."""
        self._alone()
        return super().select(statement)

    def _send(self, sql: str, values: Row) -> Any:
        self._start()
        cursor = self._driver.cursor()
        with handing_over():
            cursor.execute(_psycopg(sql), tuple(values))
        return cursor

    def _start(self) -> None:
        if self._pipeline is None:
            self._entered = self._driver.pipeline()
            self._pipeline = self._entered.__enter__()
        if not self._begun:
            self._begun = True
            self._driver.execute(_READING if self._reading else _WRITING, prepare=False)

    def _alone(self) -> Any:
        """In its transaction, and out of the pipeline: it knows no COPY, and SQLAlchemy would see no answer in it."""
        self._start()
        self._leave()
        return self._driver

    def _leave(self) -> None:
        """Wait for everything; raises what went wrong first."""
        entered, self._entered, self._pipeline = self._entered, None, None
        if entered is not None:
            entered.__exit__(None, None, None)

    def _commit(self) -> None:
        self._start()
        cursor = self._driver.execute("COMMIT", prepare=False)
        self._leave()
        if cursor.statusmessage != "COMMIT":  # somebody went on after a statement that had failed
            raise StoreError("a transaction was rolled back: one of its statements had failed")

    def _roll_back(self) -> None:
        """Out of it, whatever was under way; a connection that cannot be brought to rest is not used again."""
        with suppress(Exception):
            self._leave()
        try:
            self._driver.rollback()
            stuck = bool(self._driver.pgconn.pipeline_status)  # answers that never came: nothing to roll back, says it
        except Exception:
            stuck = True
        if stuck:
            self._connection.invalidate()


@lru_cache(maxsize=256)
def _psycopg(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@lru_cache(maxsize=16)
def _types(table: sa.Table, columns: tuple[str, ...], dialect: sa.Dialect) -> list[str]:
    """The database's names for the types of columns."""
    return [table.c[name].type.compile(dialect).lower().partition(" collate")[0] for name in columns]
