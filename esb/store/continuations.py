"""Continuations: where messages go on when their answers arrive, for those too large to travel with the request."""

from __future__ import annotations

from esb.store.connection import Connection


class Continuations:
    """The rows of ``continuations``. They go by age alone: an answer may come twice."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def keep(self, id: str, content: bytes, at: float) -> None:
        """Keep one under the id of its request; the same again changes nothing. ``at``: epoch seconds."""
        self._db.many(
            "INSERT INTO continuations (id, at, content) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
            [(id, at, self._db.seal.close(content))],
        )

    def get(self, id: str) -> bytes | None:
        """One, or None when it is too old."""
        row = self._db.row("SELECT content FROM continuations WHERE id = ?", (id,))
        return self._db.seal.open(row[0]) if row else None
