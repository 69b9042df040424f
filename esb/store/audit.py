"""The audit: who did what to which message, and why. Appended to, never changed, never pruned."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from esb.store import tables
from esb.store.connection import Connection
from esb.store.text import cut


class AuditEntry(msgspec.Struct, frozen=True):
    """One act of a person. ``at``: epoch seconds; ``id`` rises with each."""

    id: int
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

    def list(self, target: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """The newest first; ``target`` is the beginning of what was acted on."""
        return self.find(target=target, limit=limit)

    def find(
        self,
        *,
        who: str = "",
        act: str = "",
        target: str = "",
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """The newest first.

        Args:
            target: the beginning of what was acted on: a message id, ``user:`` …
            since, until: bounds of the time, epoch seconds.
            before: the id of the last entry of the page before.
        """
        at = tables.audit.c
        query = sa.select(*(at[name] for name in AuditEntry.__struct_fields__))
        query = query.where(*(at[name] == value for name, value in {"who": who, "act": act}.items() if value))
        if target:
            query = query.where(at.target >= target, at.target < target + "\U0010ffff")
        if since is not None:
            query = query.where(at.at >= since)
        if until is not None:
            query = query.where(at.at < until)
        if before is not None:
            query = query.where(at.id < before)
        return [AuditEntry(*row) for row in self._db.select(query.order_by(at.id.desc()).limit(limit))]

    def acts(self) -> Sequence[str]:
        """The names of all acts there are."""
        return [row[0] for row in self._db.rows("SELECT DISTINCT act FROM audit ORDER BY act")]
