"""Timers: messages that become due long after now (short delays are the broker's)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esb.message import Message, pack, unpack
from esb.store.connection import Connection
from esb.store.outbox import properties_decoder, properties_encoder


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """``message`` goes to the queue ``to`` at ``due_at`` (epoch seconds). The same id again moves the timer."""

    id: str
    due_at: float
    to: str
    message: Message
    properties: dict[str, str] = {}


class Timers:
    """The rows of ``timers``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, timers: Sequence[Timer]) -> None:
        """Set timers."""
        close = self._db.seal.close
        rows = [(t.id, t.due_at, t.to, close(pack(t.message)), properties_encoder.encode(t.properties)) for t in timers]
        self._db.many(
            "INSERT INTO timers (id, due_at, destination, message, properties) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at, destination = excluded.destination, "
            "message = excluded.message, properties = excluded.properties",
            sorted(rows),
        )

    def due(self, now: float, limit: int) -> list[Timer]:
        """Those due, the longest waiting first; on PostgreSQL nobody else gets them within this transaction."""
        rows = self._db.rows(
            "SELECT id, due_at, destination, message, properties FROM timers WHERE due_at <= ? "
            f"ORDER BY due_at, id LIMIT ? {self._db.skip_locked}",
            (now, limit),
        )
        return [self._timer(row) for row in rows]

    def next_due(self) -> float | None:
        """When the first one is due; None when there is none."""
        found: float | None = self._db.row("SELECT min(due_at) FROM timers")[0]
        return found

    def remove(self, ids: Sequence[str]) -> None:
        """They fired, or are called off."""
        if ids:
            self._db.run(f"DELETE FROM timers WHERE {self._db.one_of('id')}", (self._db.listed(ids),))

    def _timer(self, row: Sequence[Any]) -> Timer:
        id, due_at, to, message, properties = row
        return Timer(
            id=id,
            due_at=due_at,
            to=to,
            message=unpack(self._db.seal.open(message)),
            properties=properties_decoder.decode(properties),
        )
