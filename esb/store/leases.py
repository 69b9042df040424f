"""Leases: who may do what only one may do, and who is alive; by the database's clock, fenced.

A fence rises with every change of hands (Kleppmann, "How to do distributed locking"), so that work of an owner who
slept through the end of its lease can be told and refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from esb.store.connection import Connection
from esb.store.owners import is_gone

ROLE = "role:"  # how the leases begin that say which processes live: role:bus@machine:4711


class Leases:
    """The rows of ``leases``, one per name; they stay when released, so that fences never repeat."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def acquire(self, name: str, owner: str, seconds: float) -> int | None:
        """The fence, when the lease is free, run out or ``owner``'s already; None while somebody else has it."""
        row = self._db.row(
            f"INSERT INTO leases (name, owner, fence, expires_at) VALUES (?, ?, 1, {self._db.now} + ?) "
            "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = leases.fence + 1, "
            f"expires_at = excluded.expires_at WHERE leases.expires_at <= {self._db.now} "
            "OR leases.owner = excluded.owner RETURNING fence",
            (name, owner, seconds),
        )
        return row[0] if row else None

    def renew(self, name: str, owner: str, fence: int, seconds: float) -> bool:
        """Keep it for longer; False when it changed hands or ran out: stop at once."""
        return (
            self._db.run(
                f"UPDATE leases SET expires_at = {self._db.now} + ? WHERE name = ? AND owner = ? AND fence = ? "
                f"AND expires_at > {self._db.now}",
                (seconds, name, owner, fence),
            )
            == 1
        )

    def shorten(self, most: float) -> int:
        """Let no lease run for more than ``most`` seconds from now; how many did.

        They do when the database's clock was set back: the leases of the dead would live on by as much. Those of the
        living look the same at that moment, so none is taken away: the living renew theirs within ``most`` seconds, and
        what nobody renews runs out. Waits for nobody: a row that somebody has in hand is being renewed.
        """
        return self._db.run(
            f"UPDATE leases SET expires_at = {self._db.now} + ? WHERE name IN "
            f"(SELECT name FROM leases WHERE expires_at > {self._db.now} + ? {self._db.skip_locked})",
            (most, most),
        )

    def bury(self) -> Sequence[str]:
        """End the leases of processes that are :func:`gone <esb.store.owners.is_gone>`; who they were.

        Waits for nobody: leases that somebody has in hand are left to the next time.
        """
        owners = self._db.rows(f"SELECT DISTINCT owner FROM leases WHERE expires_at > {self._db.now}", ())
        return [owner for (owner,) in owners if is_gone(owner) and self._end(owner)]

    def _end(self, owner: str) -> int:
        return self._db.run(
            f"UPDATE leases SET expires_at = {self._db.now} WHERE name IN "
            f"(SELECT name FROM leases WHERE owner = ? AND expires_at > {self._db.now} {self._db.skip_locked})",
            (owner,),
        )

    def release(self, name: str, owner: str, fence: int) -> None:
        """Give it up; nothing happens when it is no longer ours."""
        self._db.run(
            "UPDATE leases SET expires_at = 0, owner = '' WHERE name = ? AND owner = ? AND fence = ?",
            (name, owner, fence),
        )

    def holder(self, name: str) -> str | None:
        """Who has it now."""
        row = self._db.row(f"SELECT owner FROM leases WHERE name = ? AND expires_at > {self._db.now}", (name,))
        return row[0] if row else None

    def alive(self, owner: str) -> bool:
        """Whether any lease of this owner still runs."""
        return (
            self._db.row(f"SELECT 1 FROM leases WHERE owner = ? AND expires_at > {self._db.now}", (owner,)) is not None
        )

    def roles(self) -> Sequence[str]:
        """The processes that live: ``bus@machine:4711``."""
        rows = self._db.rows(
            f"SELECT name FROM leases WHERE name >= ? AND name < ? AND expires_at > {self._db.now} ORDER BY name",
            (ROLE, ROLE + "\U0010ffff"),
        )
        return [row[0].removeprefix(ROLE) for row in rows]
