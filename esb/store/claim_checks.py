"""Claim checks: documents that were left behind, by the references that went on (Hohpe and Woolf, Claim Check)."""

from __future__ import annotations

from collections.abc import Sequence

from esb.store.connection import Connection


class ClaimChecks:
    """The rows of ``claim_checks``; each goes when its time is over."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def keep(self, rows: Sequence[tuple[str, float, bytes]]) -> None:
        """Keep documents: token, until when (epoch seconds), content. The same again changes nothing."""
        self._db.many(
            "INSERT INTO claim_checks (token, until, content) VALUES (?, ?, ?) ON CONFLICT (token) DO NOTHING",
            [(token, until, self._db.seal.close(content)) for token, until, content in rows],
        )

    def get(self, token: str, now: float) -> bytes | None:
        """One, or None when there is none or its time is over."""
        row = self._db.row("SELECT content FROM claim_checks WHERE token = ? AND until > ?", (token, now))
        return self._db.seal.open(row[0]) if row else None
