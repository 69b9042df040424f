"""The audit: who did what to which message, and why. Appended to, never changed, never pruned."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from esb.store.connection import Connection
from esb.store.text import cut


class AuditEntry(msgspec.Struct, frozen=True):
    """One act of a person. ``at``: epoch seconds."""

    at: float
    who: str
    act: str
    target: str
    reason: str
    detail: str


class Audit:
    """The rows of ``audit``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def append(self, who: str, act: str, target: str, reason: str = "", detail: str = "") -> None:
        """Note one act."""
        self.append_all([(who, act, target, reason, detail)])

    def append_all(self, entries: Sequence[tuple[str, str, str, str, str]]) -> None:
        """Note acts: (who, act, target, reason, detail) each."""
        now = time.time()
        self._db.many(
            "INSERT INTO audit (at, who, act, target, reason, detail) VALUES (?, ?, ?, ?, ?, ?)",
            [(now, *(cut(text, 2000) for text in entry)) for entry in entries],
        )

    def list(self, target: str = "", limit: int = 100) -> list[AuditEntry]:
        """The newest first; ``target`` is the beginning of what was acted on."""
        rows = self._db.rows(
            "SELECT at, who, act, target, reason, detail FROM audit WHERE target >= ? AND target < ? "
            "ORDER BY id DESC LIMIT ?",
            (target, target + "\U0010ffff", limit),
        )
        return [AuditEntry(*row) for row in rows]
