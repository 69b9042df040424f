"""Suspects: messages that were under way when a worker died, counted until one gets through."""

from __future__ import annotations

import time
from collections.abc import Sequence

from esb.store.connection import Connection

Key = tuple[str, str]  # message id, place


class Suspects:
    """The rows of ``suspects``, one per message and place."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def mark(self, keys: Sequence[Key]) -> dict[Key, int]:
        """One more death (or the first) for each; how many each has now. Commit before running the message."""
        wanted = sorted(set(keys))
        now = time.time()
        self._db.many(
            "INSERT INTO suspects (message_id, place, count, at) VALUES (?, ?, 1, ?) "
            "ON CONFLICT (message_id, place) DO UPDATE SET count = suspects.count + 1, at = excluded.at",
            [(*key, now) for key in wanted],
        )
        rows = self._db.rows(
            f"SELECT message_id, place, count FROM suspects WHERE {self._db.one_of('message_id')}",
            (self._db.listed([key[0] for key in wanted]),),
        )
        return {(id, place): count for id, place, count in rows if (id, place) in wanted}

    def known(self, keys: Sequence[Key]) -> set[Key]:
        """Those among them that have a mark."""
        rows = self._db.rows(
            f"SELECT message_id, place FROM suspects WHERE {self._db.one_of('message_id')}",
            (self._db.listed([key[0] for key in keys]),),
        )
        return {(id, place) for id, place in rows}.intersection(keys)

    def count(self, key: Key) -> int:
        """How many there are by now."""
        row = self._db.row("SELECT count FROM suspects WHERE message_id = ? AND place = ?", key)
        return row[0] if row else 0

    def unmark(self, keys: Sequence[Key]) -> None:
        """Take one mark back from each: whoever made it did not die."""
        wanted = sorted(set(keys))
        self._db.many("UPDATE suspects SET count = count - 1 WHERE message_id = ? AND place = ?", wanted)
        self._db.many("DELETE FROM suspects WHERE message_id = ? AND place = ? AND count <= 0", wanted)

    def clear(self, keys: Sequence[Key]) -> None:
        """These got through, or a person tries them again."""
        self._db.many("DELETE FROM suspects WHERE message_id = ? AND place = ?", sorted(set(keys)))
