"""A transaction's way to the database, in statements that both databases understand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.store.seal import Seal

Row = Sequence[Any]


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


@lru_cache(maxsize=256)
def _psycopg(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
