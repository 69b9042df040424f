"""Probes: how each endpoint answered when it was last asked for a sign of life."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from esb.store.connection import Connection
from esb.store.text import cut


class Probe(msgspec.Struct, frozen=True):
    """One answer. ``at``: epoch seconds; ``ms``: how long it took; ``since``: when ``ok`` became what it is."""

    endpoint: str
    at: float
    ok: bool
    text: str
    ms: float
    since: float = 0.0


class Probes:
    """The rows of ``probes``, one per endpoint: the newest."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def record(self, probes: Sequence[Probe]) -> None:
        """Note answers; an older one than is known changes nothing."""
        self._db.many(
            "INSERT INTO probes (endpoint, at, ok, text, ms, since) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (endpoint) DO UPDATE SET at = excluded.at, text = excluded.text, ms = excluded.ms, "
            "since = CASE WHEN probes.ok = excluded.ok THEN probes.since ELSE excluded.at END, ok = excluded.ok "
            "WHERE probes.at <= excluded.at",
            sorted((p.endpoint, p.at, p.ok, cut(p.text, 2000), p.ms, p.at) for p in probes),
        )

    def all(self) -> dict[str, Probe]:
        """The newest answer of each endpoint that was asked."""
        rows = self._db.rows("SELECT endpoint, at, ok, text, ms, since FROM probes")
        return {row[0]: Probe(row[0], row[1], bool(row[2]), *row[3:]) for row in rows}
