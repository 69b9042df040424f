"""A transaction's way to the database, in statements that both databases understand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.errors import StoreError
from esb.store.failures import translate
from esb.store.seal import Seal

Row = Sequence[Any]

_LARGE = 1024**2  # bytes of one value, beyond which a connection is worth replacing
ANYWHERE = slice(None)


class Connection:
    """Runs SQL text with ``?`` for each value on the driver itself: here SQLite's, PostgreSQL's in ``pipeline``.

    SQLAlchemy costs tens of microseconds a statement. Its pool lends the connections, and its expression language is
    kept for what is put together from filters (:meth:`select`). Text and values never mix: every value is bound.
    """

    def __init__(self, connection: sa.Connection, seal: Seal, reading: bool = False) -> None:
        """Args: what carries it, the seal for columns that are the bus's alone (``seal.close``, ``seal.open``), and
        whether nothing is to be written."""
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._reading = reading
        self.seal = seal
        self.embedded = connection.dialect.name == "sqlite"
        self.laden = False  # there was a large value, which SQLite's statements and libpq's buffers keep room for

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within are one transaction; committed at its end, rolled back when it raises.

        One that will write says so at once, or two of them could each wait for the other for ever. One that only reads
        and has written is rolled back; ``PRAGMA query_only`` would refuse the statement itself, and has all prepared
        statements of its connection compiled anew, each time.
        """
        driver = self._driver
        written = driver.total_changes
        try:
            driver.execute("BEGIN" if self._reading else "BEGIN IMMEDIATE")
            yield
            if self._reading and driver.total_changes != written:
                raise StoreError("a transaction that only reads has written, and is undone: please report it")
            driver.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                driver.rollback()
            raise

    def rows(self, sql: str, values: Row = ()) -> Sequence[Any]:
        """What a query gives, or a statement with RETURNING."""
        found: Sequence[Any] = self._execute(sql, values).fetchall()
        return found

    def row(self, sql: str, values: Row = ()) -> Any:
        """The first row, or None."""
        cursor = self._execute(sql, values)
        row = cursor.fetchone()
        cursor.close()  # or its statement would stay open, and with it what the transaction sees
        return row

    def run(self, sql: str, values: Row = ()) -> int:
        """Carry out one statement; how many rows it touched."""
        return int(self._execute(sql, values).rowcount)

    def many(self, sql: str, rows: Sequence[tuple[Any, ...]], large: slice = ANYWHERE) -> None:
        """The same statement for each row, in one go. ``large``: where among the values large ones may be."""
        if rows:
            with handing_over():
                self._driver.executemany(sql, rows)
            self._note(rows, large)

    def load(
        self, sql: str, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], new: bool = False
    ) -> None:
        """Rows by an INSERT, in its order; the text has ``{rows}`` where they come from. Two columns are their key, and
        the large ones come last. ``new``: hardly ever is one of them there already, and then nothing is the worse."""
        self.many(sql.format(rows=f"VALUES ({', '.join('?' * len(columns))})"), rows, blobs(table, tuple(columns)))

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

    def _execute(self, sql: str, values: Row) -> Any:
        with handing_over():
            return self._driver.execute(sql, tuple(values))

    def _note(self, rows: Sequence[Row], large: slice = ANYWHERE) -> None:
        self.laden = self.laden or _large(rows, large)


@contextmanager
def handing_over() -> Iterator[None]:
    """Values go straight to the driver: what it cannot write may be anybody's error, and is not translated outside."""
    try:
        yield
    except (UnicodeError, OverflowError) as error:
        raise translate(error, "the store") or error from error


@lru_cache(64)
def blobs(table: sa.Table, columns: tuple[str, ...]) -> slice:
    """Where the columns of bytes are, which come last."""
    return slice(min((at for at, name in enumerate(columns) if _is_blob(table.c[name])), default=0), None)


def _is_blob(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.LargeBinary)


def _large(rows: Sequence[Row], where: slice) -> bool:
    """A loop without a generator, since nearly every value that is written comes by here."""
    for row in rows:
        for value in row[where]:
            if value.__class__ is bytes and len(value) > _LARGE:
                return True
    return False
