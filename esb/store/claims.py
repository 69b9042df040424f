"""Claims: what was taken from each source (a file, a row), how far it got, and what came before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from esb.store.connection import Connection

# Broken is what was rejected and is not kept whole by the parked message: given once more, it goes on.
State = Literal["open", "done", "duplicate", "rejected", "broken"]


class ClaimState(msgspec.Struct, frozen=True):
    """One thing of one source. ``position``: records safe in the broker. ``repeats``: times it was offered again."""

    endpoint: str
    key: str
    claim_id: str
    name: str
    position: int
    records: int
    repeats: int
    state: State
    at: float


_COLUMNS = "endpoint, key, claim_id, name, position, records, repeats, state, at"


class Claims:
    """The rows of ``claims``, one per endpoint and key."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def begin(self, endpoint: str, key: str, name: str, claim_id: str = "") -> ClaimState | None:
        """None: new, and open from now. Otherwise what is known: open (go on from its position) or ended (a repeat).

        What is open belongs to the claim that asks last: the one before it is gone, or it would have been finished.
        """
        new = self._db.run(
            f"INSERT INTO claims ({_COLUMNS}) VALUES (?, ?, ?, ?, 0, 0, 0, 'open', ?) ON CONFLICT DO NOTHING",
            (endpoint, key, claim_id, name, time.time()),
        )
        if new:
            return None
        self._db.run(
            "UPDATE claims SET claim_id = ? WHERE endpoint = ? AND key = ? AND state = 'open' AND claim_id <> ?",
            (claim_id, endpoint, key, claim_id),
        )
        return self.get(endpoint, key)

    def begin_all(self, endpoint: str, claims: Sequence[tuple[str, str, str]]) -> set[str]:
        """The keys of those (key, name, claim id) that are new, and open from now; nothing is done about the others.

        No key comes twice, and nobody else begins any of this endpoint's meanwhile: that is for its poller alone.
        """
        known = f"SELECT key FROM claims WHERE endpoint = ? AND {self._db.one_of('key')}"
        rows = self._db.rows(known, (endpoint, self._db.listed([key for key, _, _ in claims])))
        old, now = {key for (key,) in rows}, time.time()
        new = [(endpoint, key, claim_id, name, now) for key, name, claim_id in claims if key not in old]
        self._db.many(
            f"INSERT INTO claims ({_COLUMNS}) VALUES (?, ?, ?, ?, 0, 0, 0, 'open', ?) ON CONFLICT DO NOTHING", new
        )
        return {row[1] for row in new}

    def reopen(self, endpoint: str, key: str, claim_id: str) -> None:
        """What was broken is given once more, by another claim, and goes on behind its position."""
        self._db.run(
            "UPDATE claims SET state = 'open', claim_id = ? WHERE endpoint = ? AND key = ? AND state = 'broken'",
            (claim_id, endpoint, key),
        )

    def get(self, endpoint: str, key: str) -> ClaimState | None:
        """What is known of one."""
        row = self._db.row(f"SELECT {_COLUMNS} FROM claims WHERE endpoint = ? AND key = ?", (endpoint, key))
        return ClaimState(*row) if row else None

    def advance(self, endpoint: str, key: str, position: int) -> None:
        """Records up to ``position`` are safe; never goes back."""
        self._db.run(
            "UPDATE claims SET position = ?, at = ? WHERE endpoint = ? AND key = ? AND position < ?",
            (position, time.time(), endpoint, key, position),
        )

    def finish(self, endpoint: str, key: str, state: State = "done", records: int = 0) -> None:
        """It ended, with so many records."""
        self._db.run(
            "UPDATE claims SET state = ?, records = ?, at = ? WHERE endpoint = ? AND key = ?",
            (state, records, time.time(), endpoint, key),
        )

    def finish_all(self, endpoint: str, ended: Sequence[tuple[str, int]]) -> None:
        """These (key, records) are done, with all their records."""
        now = time.time()
        self._db.many(
            "UPDATE claims SET state = 'done', position = ?, at = ? WHERE endpoint = ? AND key = ?",
            [(records, now, endpoint, key) for key, records in ended],
        )

    def repeated(self, endpoint: str, key: str, claim_id: str, name: str) -> None:
        """The same was offered once more, by another claim, and set aside; saying so again changes nothing."""
        new = self._db.run(
            f"INSERT INTO claims ({_COLUMNS}) VALUES (?, ?, ?, ?, 0, 0, 0, 'duplicate', ?) ON CONFLICT DO NOTHING",
            (endpoint, f"repeat {claim_id}", claim_id, name, time.time()),
        )
        if new:
            self._db.run("UPDATE claims SET repeats = repeats + 1 WHERE endpoint = ? AND key = ?", (endpoint, key))

    def list(self, endpoint: str = "", limit: int = 100) -> list[ClaimState]:
        """The newest first, of one endpoint or of all."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM claims WHERE (? = '' OR endpoint = ?) ORDER BY at DESC LIMIT ?",
            (endpoint, endpoint, limit),
        )
        return [ClaimState(*row) for row in rows]
