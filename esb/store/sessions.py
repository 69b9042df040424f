"""Sessions of the admin interface, and the one-time links that set a password; of both only the hash is stored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from esb.store.connection import Connection
from esb.store.text import cut
from esb.store.users import Role

FIRST = ""  # the user of a link that makes the first admin


class Session(msgspec.Struct, frozen=True):
    """A browser that is signed in. ``id`` is the hash of its token; times are epoch seconds."""

    id: str
    user: str
    role: Role
    created_at: float
    seen_at: float
    expires_at: float
    address: str
    agent: str


_SELECT = (
    "SELECT s.id, s.user_name, u.role, s.created_at, s.seen_at, s.expires_at, s.address, s.agent "
    "FROM sessions s JOIN users u ON u.name = s.user_name "
)


class Sessions:
    """The rows of ``sessions``. ``now`` is the caller's clock."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def open(self, id: str, user: str, now: float, seconds: float, address: str = "", agent: str = "") -> None:
        """Somebody signed in, for at most ``seconds``."""
        self._db.run(
            "INSERT INTO sessions (id, user_name, created_at, seen_at, expires_at, address, agent) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, user, now, now, now + seconds, cut(address, 100), cut(agent, 300)),
        )

    def get(self, id: str, now: float, idle: float) -> Session | None:
        """The session, unless it is over or was not used for ``idle`` seconds; with the user's role of this moment."""
        row = self._db.row(f"{_SELECT} WHERE s.id = ? AND s.expires_at > ? AND s.seen_at > ?", (id, now, now - idle))
        return Session(*row) if row else None

    def of(self, user: str, now: float) -> Sequence[Session]:
        """Those of a user that are not over, the last used first."""
        rows = self._db.rows(
            f"{_SELECT} WHERE s.user_name = ? AND s.expires_at > ? ORDER BY s.seen_at DESC", (user, now)
        )
        return [Session(*row) for row in rows]

    def touch(self, id: str, now: float) -> None:
        """It was used."""
        self._db.run("UPDATE sessions SET seen_at = ? WHERE id = ? AND seen_at < ?", (now, id, now))

    def close(self, id: str, user: str) -> bool:
        """End one of a user's sessions."""
        return self._db.run("DELETE FROM sessions WHERE id = ? AND user_name = ?", (id, user)) == 1

    def close_all(self, user: str, but: str = "") -> int:
        """End all of a user's sessions, or all ``but`` one; how many."""
        return self._db.run("DELETE FROM sessions WHERE user_name = ? AND id <> ?", (user, but))


class Links:
    """The rows of ``links``: each lets one person set a password, once, within its time."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, id: str, user: str, expires_at: float) -> None:
        """A link for a user, or for the :data:`FIRST`; ``id`` is the hash of its token."""
        self._db.run("INSERT INTO links (id, user_name, expires_at) VALUES (?, ?, ?)", (id, user, expires_at))

    def peek(self, id: str, now: float) -> str | None:
        """Whose link it is; None when there is none, or its time is over."""
        row = self._db.row("SELECT user_name FROM links WHERE id = ? AND expires_at > ?", (id, now))
        return row[0] if row else None

    def use(self, id: str, now: float) -> str | None:
        """As :meth:`peek`, and it is gone: of two who use it at once, one gets it."""
        row = self._db.row("DELETE FROM links WHERE id = ? RETURNING user_name, expires_at", (id,))
        return row[0] if row and row[1] > now else None

    def remove(self, user: str) -> None:
        """All of a user."""
        self._db.run("DELETE FROM links WHERE user_name = ?", (user,))
