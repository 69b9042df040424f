"""Circuit breakers, shared by all processes that send to an endpoint (Nygard, Circuit Breaker)."""

from __future__ import annotations

from typing import Literal

import msgspec

from esb.store.audit import Audit
from esb.store.connection import Connection


class BreakerRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one. Times are epoch seconds. ``version`` counts changes; 0: never written."""

    endpoint: str
    state: Literal["closed", "open", "probing"] = "closed"
    failures: int = 0
    opened_at: float = 0.0
    probe_at: float = 0.0
    probe_owner: str = ""
    version: int = 0


_COLUMNS = BreakerRow.__struct_fields__


class Breakers:
    """The rows of ``breakers``, changed by compare-and-set."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def read_all(self) -> dict[str, BreakerRow]:
        """All that were ever written, by endpoint."""
        rows = self._db.rows(f"SELECT {', '.join(_COLUMNS)} FROM breakers")
        return {row[0]: BreakerRow(**dict(zip(_COLUMNS, row, strict=True))) for row in rows}

    def change(self, endpoint: str, expected_version: int, new: BreakerRow) -> bool:
        """Write ``new`` if the version is still the expected one; False: somebody else changed it, read again."""
        values = (new.state, new.failures, new.opened_at, new.probe_at, new.probe_owner, expected_version + 1, endpoint)
        if expected_version:
            sql = (
                "UPDATE breakers SET state = ?, failures = ?, opened_at = ?, probe_at = ?, probe_owner = ?, "
                "version = ? WHERE endpoint = ? AND version = ?"
            )
            return self._db.run(sql, (*values, expected_version)) == 1
        sql = (
            "INSERT INTO breakers (state, failures, opened_at, probe_at, probe_owner, version, endpoint) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        return self._db.run(sql, values) == 1

    def reset(self, endpoint: str, who: str, why: str = "") -> bool:
        """Close it by a person's decision: what waits is sent at once. False when it was closed; audited."""
        changed = self._db.run(
            "UPDATE breakers SET state = 'closed', failures = 0, opened_at = 0, probe_at = 0, probe_owner = '', "
            "version = version + 1 WHERE endpoint = ? AND state <> 'closed'",
            (endpoint,),
        )
        if changed:
            Audit(self._db).append(who, "reset breaker", f"endpoint:{endpoint}", why)
        return changed == 1
