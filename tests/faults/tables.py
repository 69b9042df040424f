"""Tables of other systems: one that the bus receives from, three that it writes to."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.adapters.databases import PostgresDatabase, SqliteFile

SALES = "CREATE TABLE sales (id INTEGER PRIMARY KEY, n INTEGER, state VARCHAR(1) DEFAULT 'N', taken_by VARCHAR(120))"
TARGETS = ("booked (n INTEGER)", "noted (n INTEGER)", "kept (n INTEGER PRIMARY KEY)")


class Tables:
    """``sales`` in one database; in another ``booked`` (inbox table), ``noted`` (no inbox table), ``kept`` (upsert)."""

    def __init__(
        self, root: Path, source: str = "", target: str = "", link: Callable[[str], str] = lambda url: url
    ) -> None:
        """Args: where SQLite files go, unless there are two URLs of PostgreSQL, and how the bus gets to these."""
        self._source, self._target = _database(root / "till", source), _database(root / "books", target)
        self.environment = {"TILL_URL": link(_address(self._source)), "BOOKS_URL": link(_address(self._target))}
        self._source.run(SALES)
        self._source.run("CREATE INDEX sales_by_state ON sales (state)")
        for table in TARGETS:
            self._target.run(f"CREATE TABLE {table}")

    def sell(self, numbers: Iterable[int]) -> bool:
        """Rows with these numbers; False when the database is away. Doing it again changes nothing."""
        values = ", ".join(f"({n}, {n})" for n in numbers)
        with suppress(psycopg.OperationalError, sqlite3.OperationalError):
            self._source.run(f"INSERT INTO sales (id, n) VALUES {values} ON CONFLICT DO NOTHING")
            return True
        return False

    def taken(self) -> bool:
        """Is everything in ``sales`` done?"""
        return self._source.run("SELECT count(*) FROM sales WHERE state <> 'D'") == [(0,)]

    @property
    def booked(self) -> Counter[int]:
        """How often each number was booked: exactly once, says the inbox table."""
        return self._counted("booked")

    @property
    def noted(self) -> Counter[int]:
        """How often each number was noted: at most once, and in doubt where it is not there."""
        return self._counted("noted")

    @property
    def kept(self) -> Counter[int]:
        """Which numbers are kept: each once, says the natural key."""
        return self._counted("kept")

    def _counted(self, table: str) -> Counter[int]:
        return Counter(dict(self._target.run(f"SELECT n, count(*) FROM {table} GROUP BY n")))


def _database(directory: Path, url: str) -> SqliteFile | PostgresDatabase:
    if url:
        return PostgresDatabase(url)
    directory.mkdir()
    return SqliteFile(directory)


def _address(database: SqliteFile | PostgresDatabase) -> str:
    return database.direct if isinstance(database, PostgresDatabase) else database.url
