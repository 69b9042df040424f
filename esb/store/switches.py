"""Switches: what people set while the bus runs, until they take it back. They outlive every process.

One table for all of it, so that a process learns from one number whether anything has changed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from esb.store.audit import Audit
from esb.store.connection import Connection
from esb.store.text import cut

SwitchKind = Literal["detour", "flow", "table", "throttle"]
_REVISION = ("", "", "")  # the row that counts changes
_UPSERT = (
    "INSERT INTO switches (kind, name, key, value, at, who, reason) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (kind, name, key) DO UPDATE SET value = excluded.value, at = excluded.at, who = excluded.who, "
    "reason = excluded.reason WHERE switches.value <> excluded.value"
)


class Switch(msgspec.Struct, frozen=True):
    """One thing that is set: a row ``key`` of the table ``name``, the step ``key`` of the flow ``name``, or a flow.

    ``at`` in epoch seconds; who did it and why.
    """

    kind: SwitchKind
    name: str
    key: str
    value: str
    at: float
    who: str
    reason: str


class Switches:
    """The rows of ``switches``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def revision(self) -> int:
        """How often anything has been set; it only rises."""
        found = self._db.row("SELECT value FROM switches WHERE kind = ? AND name = ? AND key = ?", _REVISION)
        return int(found[0]) if found else 0

    def all(self, kind: str = "", name: str = "") -> Sequence[Switch]:
        """In order; all of a kind, or of a name within it."""
        where = "kind <> ''" + (" AND kind = ?" if kind else "") + (" AND name = ?" if name else "")
        rows = self._db.rows(
            f"SELECT kind, name, key, value, at, who, reason FROM switches WHERE {where} ORDER BY kind, name, key",
            [text for text in (kind, name) if text],
        )
        return [Switch(*row) for row in rows]

    def set(self, kind: SwitchKind, name: str, rows: Mapping[str, str], who: str, why: str = "") -> int:
        """What is to stand under each key; how many rows are new or have changed. Audited, as one act."""
        now, whose = time.time(), (cut(who, 200), cut(why, 2000))
        changed = sum(self._db.run(_UPSERT, (kind, name, key, value, now, *whose)) for key, value in rows.items())
        told = ", ".join(f"{key}: {value}" if key else value for key, value in rows.items())
        return self._done(changed, f"set {kind}", f"{kind}:{name}", who, why, told)

    def unset(self, kind: SwitchKind, name: str, keys: Sequence[str], who: str, why: str = "") -> int:
        """What the configuration says holds again; how many were set. Audited, as one act."""
        delete = "DELETE FROM switches WHERE kind = ? AND name = ? AND key = ?"
        gone = sum(self._db.run(delete, (kind, name, key)) for key in keys)
        return self._done(gone, f"unset {kind}", f"{kind}:{name}", who, why, ", ".join(keys))

    def _done(self, changed: int, act: str, target: str, who: str, why: str, told: str) -> int:
        if changed:
            self._db.run(
                "INSERT INTO switches (kind, name, key, value, at, who, reason) VALUES (?, ?, ?, '1', 0, '', '') "
                "ON CONFLICT (kind, name, key) DO UPDATE SET value = CAST(CAST(switches.value AS INTEGER) + 1 AS TEXT)",
                _REVISION,
            )
            Audit(self._db).append(who, act, target, why, told)
        return changed
