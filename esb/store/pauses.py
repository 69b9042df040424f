"""Pauses: endpoints that a person has stopped. They outlive every process, until a person resumes them."""

from __future__ import annotations

import time

import msgspec

from esb.store.audit import Audit
from esb.store.connection import Connection
from esb.store.text import cut


class Pause(msgspec.Struct, frozen=True):
    """Who stopped an endpoint, when (epoch seconds) and why."""

    endpoint: str
    at: float
    who: str
    reason: str


class Pauses:
    """The rows of ``pauses``, one per endpoint that is paused."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def all(self) -> dict[str, Pause]:
        """By endpoint."""
        rows = self._db.rows("SELECT endpoint, at, who, reason FROM pauses")
        return {row[0]: Pause(*row) for row in rows}

    def names(self) -> list[str]:
        """Endpoints that are paused."""
        return [row[0] for row in self._db.rows("SELECT endpoint FROM pauses")]

    def pause(self, endpoint: str, who: str, why: str = "") -> bool:
        """Nothing is sent to it and nothing taken from it until it is resumed; False when it was paused. Audited."""
        new = self._db.run(
            "INSERT INTO pauses (endpoint, at, who, reason) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (endpoint, time.time(), cut(who, 200), cut(why, 2000)),
        )
        return self._audited(new, "pause", endpoint, who, why)

    def resume(self, endpoint: str, who: str, why: str = "") -> bool:
        """It goes on; False when it was not paused. Audited."""
        gone = self._db.run("DELETE FROM pauses WHERE endpoint = ?", (endpoint,))
        return self._audited(gone, "resume", endpoint, who, why)

    def _audited(self, changed: int, act: str, endpoint: str, who: str, why: str) -> bool:
        if changed:
            Audit(self._db).append(who, act, f"endpoint:{endpoint}", why)
        return changed == 1
