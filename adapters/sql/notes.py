"""A small SQLite file for what a table cannot remember itself: what is being read, and what was seen.

Written in transactions of its own, never before the fact: a row counts as seen only when it is done, so a crash at any
moment makes a row come again under the same id, and never loses one.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from esb.errors import Unreachable

Result = TypeVar("Result")

_TABLES = """
CREATE TABLE IF NOT EXISTS open (
    key TEXT PRIMARY KEY, pk TEXT NOT NULL, id TEXT NOT NULL, time REAL NOT NULL, position INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, at, reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
CREATE TABLE IF NOT EXISTS mark (one INTEGER PRIMARY KEY CHECK (one = 1), at);
"""


class Note(msgspec.Struct, frozen=True):
    """A row that is being read. ``time`` is that of its first taking, or its own."""

    key: str
    pk: tuple[Any, ...]  # as JSON has it
    id: str
    time: float
    position: int = 0


class Notes:
    """One endpoint's file. Not for several threads at once."""

    def __init__(self, endpoint: str, file: Path) -> None:
        self._endpoint = endpoint
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let the file go."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def open(self) -> list[Note]:
        """What was taken and not finished, in the order of taking."""
        rows = self._do(lambda c: c.execute("SELECT key, pk, id, time, position FROM open ORDER BY rowid").fetchall())
        return [Note(key, tuple(msgspec.json.decode(pk)), id, time, at) for key, pk, id, time, at in rows]

    def take(self, rows: Sequence[tuple[str, tuple[Any, ...], float]]) -> list[Note]:
        """Note rows (key, primary key, time) as taken; those that are already keep their id, time and position."""
        sql = "INSERT INTO open VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING"
        values = [(key, msgspec.json.encode(pk).decode(), secrets.token_hex(16), time) for key, pk, time in rows]
        self._do(lambda c: c.executemany(sql, values))
        known = {note.key: note for note in self.open()}
        return [known[key] for key, _, _ in rows]

    def advance(self, key: str, position: int) -> None:
        """Records up to ``position`` are safe."""
        self._do(lambda c: c.execute("UPDATE open SET position = ? WHERE key = ?", (position, key)))

    def drop(self, keys: Sequence[str]) -> None:
        """They are no longer being read."""
        self._do(lambda c: _drop(c, keys))

    def see(self, rows: Sequence[tuple[str, float | None]], reason: str = "") -> None:
        """These (key, time) are finished, and must not come again."""

        def write(connection: sqlite3.Connection) -> None:
            sql = "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            connection.executemany(sql, [(key, at, reason) for key, at in rows])
            _drop(connection, [key for key, _ in rows])

        self._do(write)

    def seen(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that were seen."""
        sql = "SELECT key FROM seen WHERE key IN (SELECT value FROM json_each(?))"
        listed = msgspec.json.encode(list(keys)).decode()
        return {key for (key,) in self._do(lambda c: c.execute(sql, (listed,)).fetchall())}

    def rejected(self) -> list[tuple[str, str]]:
        """(key, reason) of what could not be read."""
        return self._do(lambda c: c.execute("SELECT key, reason FROM seen WHERE reason <> ''").fetchall())

    @property
    def mark(self) -> float | None:
        """Up to where everything was seen, or None at the beginning."""
        row = self._do(lambda c: c.execute("SELECT at FROM mark").fetchone())
        return row[0] if row else None

    def move_mark(self, at: float, forget: float) -> None:
        """Everything up to ``at`` was seen; what lies below ``forget`` is never looked at again."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO mark VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at", (at,))
            connection.execute("DELETE FROM seen WHERE at < ?", (forget,))

        self._do(write)

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """In one transaction. Raises ``Unreachable`` when the file cannot be used."""
        try:
            self._connection = self._connection or self._made()
            with self._connection:
                return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise Unreachable(f"{self._endpoint}: cannot use the notes in {self._file}: {error}") from error

    def _made(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._file, timeout=10, check_same_thread=False)
        connection.executescript("PRAGMA synchronous = NORMAL;" + _TABLES)
        return connection


def _drop(connection: sqlite3.Connection, keys: Sequence[str]) -> None:
    connection.executemany("DELETE FROM open WHERE key = ?", [(key,) for key in keys])
