"""A transaction's way to the database, in statements that both databases understand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.store.failures import translate
from esb.store.seal import Seal

Row = Sequence[Any]

_LARGE = 1024**2  # bytes of one value, beyond which a connection is worth replacing
_COPIED = 20  # rows from which on COPY is worth its three round trips


class Connection:
    """Runs SQL text with ``?`` for each value, straight through the driver.

    SQLAlchemy's expression language costs tens of microseconds a statement and is kept for what is put together
    from filters (:meth:`select`). Text and values never mix: every value is bound.
    """

    def __init__(self, connection: sa.Connection, seal: Seal) -> None:
        """Args: what carries it, and the seal for columns that are the bus's alone (``seal.close``, ``seal.open``)."""
        self._connection = connection
        self.seal = seal
        self.embedded = connection.dialect.name == "sqlite"
        self.laden = False  # there was a large value, which SQLite's statements and libpq's buffers keep room for

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within are one transaction; committed at its end, rolled back when it raises."""
        with self._connection.begin():
            yield

    def rows(self, sql: str, values: Row = ()) -> Sequence[Any]:
        """What a query gives, or a statement with RETURNING."""
        return self._connection.exec_driver_sql(self._text(sql), tuple(values)).fetchall()

    def row(self, sql: str, values: Row = ()) -> Any:
        """The first row, or None."""
        return self._connection.exec_driver_sql(self._text(sql), tuple(values)).first()

    def run(self, sql: str, values: Row = ()) -> int:
        """Carry out one statement; how many rows it touched."""
        return self._connection.exec_driver_sql(self._text(sql), tuple(values)).rowcount

    def many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """The same statement for each row, in one go."""
        if rows:
            self._connection.exec_driver_sql(self._text(sql), rows if isinstance(rows, list) else list(rows))
            self._note(rows)

    def load(self, sql: str, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows by an INSERT, in its order; the text has ``{rows}`` where they come from.

        On PostgreSQL many of them come by COPY through a table of the session, which takes half the time. There no row
        may meet another of the same statement (``ON CONFLICT``), so the first two columns have to be a key.
        """
        if self.embedded or len(rows) < _COPIED or len({row[:2] for row in rows}) < len(rows):
            self.many(sql.format(rows=f"VALUES ({', '.join('?' * len(columns))})"), rows)
        else:
            self._copy(table, columns, rows)
            self._note(rows)
            self.many(sql.format(rows=f"SELECT {', '.join(columns)} FROM {table.name}_in"), [()])

    def _copy(self, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """SQLAlchemy knows no COPY; what psycopg raises here is translated around the transaction."""
        connection = self._connection
        target = f"{table.name}_in"
        # The session's own; asked for each time, since one that is rolled back takes it along.
        self.many(f"CREATE TEMPORARY TABLE IF NOT EXISTS {target} (LIKE {table.name}) ON COMMIT DELETE ROWS", [()])
        driver = self._alone()
        with driver.cursor().copy(f"COPY {target} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(_types(table, tuple(columns), connection.dialect))
            with handing_over():
                for row in rows:
                    copy.write_row(row)

    def _note(self, rows: Sequence[Row]) -> None:
        self.laden = self.laden or _large(rows)

    def _alone(self) -> Any:
        """The driver's connection, with nothing under way."""
        return self._connection.connection.driver_connection

    def select(self, statement: sa.Select[Any]) -> Sequence[Any]:
        """What a composed query gives."""
        return self._connection.execute(statement).fetchall()

    def one_of(self, column: str) -> str:
        """SQL for "the column is one of these"; bind :meth:`listed` to it. The text stays the same for any number."""
        return f"{column} IN (SELECT value FROM json_each(?))" if self.embedded else f"{column} = ANY(?)"

    def listed(self, values: Sequence[Any]) -> Any:
        """The value for :meth:`one_of`."""
        return msgspec.json.encode(values).decode() if self.embedded else list(values)

    @property
    def now(self) -> str:
        """SQL for the database's own clock in seconds since the epoch, so that clocks of machines do not matter."""
        if self.embedded:
            return "((julianday('now') - 2440587.5) * 86400.0)"
        return "extract(epoch FROM clock_timestamp())::double precision"

    @property
    def skip_locked(self) -> str:
        """SQL that passes over rows another transaction works on; SQLite has one writer and needs none."""
        return "" if self.embedded else "FOR UPDATE SKIP LOCKED"

    @property
    def for_update(self) -> str:
        """SQL that makes others wait for the rows until this transaction ends; SQLite has one writer and needs none."""
        return "" if self.embedded else "FOR UPDATE"

    def _text(self, sql: str) -> str:
        return sql if self.embedded else _psycopg(sql)


@contextmanager
def handing_over() -> Iterator[None]:
    """Values go straight to the driver: what it cannot write may be anybody's error, and is not translated outside."""
    try:
        yield
    except (UnicodeError, OverflowError) as error:
        raise translate(error, "the store") or error from error


@lru_cache(maxsize=16)
def _types(table: sa.Table, columns: tuple[str, ...], dialect: sa.Dialect) -> list[str]:
    """The database's names for the types of columns."""
    return [table.c[name].type.compile(dialect).lower().partition(" collate")[0] for name in columns]


@lru_cache(maxsize=256)
def _psycopg(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _large(rows: Sequence[Row]) -> bool:
    return any(type(value) is bytes and len(value) > _LARGE for row in rows for value in row)
