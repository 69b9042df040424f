"""What the stand-ins write down: one effect for each Idempotency-Key, repeats counted apart."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from esb.examples.retail.systems import service

SCHEMA = """CREATE TABLE IF NOT EXISTS entry (
    key TEXT NOT NULL, operation TEXT NOT NULL, order_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL, repeats INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (operation, key))"""

Recorded = dict[str, dict[str, dict[str, int]]]  # operation -> order number -> {"effects": …, "repeats": …}


class KeyReused(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A key came with another body than before; the IETF draft on the Idempotency-Key header wants 422."""


class Books:
    """A record in a file of its own, shared by all threads of a stand-in."""

    def __init__(self, record: Path) -> None:
        self._db = service.open_record(record, SCHEMA)
        self._lock = threading.Lock()

    def once(
        self, operation: str, key: str, body: bytes, order_id: str, work: Callable[[int], dict[str, Any]]
    ) -> tuple[bool, dict[str, Any]]:
        """Do something once for each key. Returns whether it was done now, and the answer, which stays the same.

        Args:
            operation: keys of one operation mean nothing to another.
            key: the Idempotency-Key.
            body: the request, by which a key that comes with another one is known.
            order_id: whose entry it is.
            work: makes the answer from a number that nobody had before.

        Raises:
            KeyReused: the key came with another body before.
        """
        fingerprint = sha256(body).hexdigest()
        with self._lock:
            known = self._find(operation, key)
            if known is None:
                return True, self._enter(operation, key, fingerprint, order_id, work)
            if known[0] != fingerprint:
                raise KeyReused("this Idempotency-Key came with another body before")
            self._db.execute("UPDATE entry SET repeats = repeats + 1 WHERE operation = ? AND key = ?", (operation, key))
            return False, json.loads(known[1])

    def entries(self, operation: str) -> list[dict[str, Any]]:
        """The answers that were given, the oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT answer FROM entry WHERE operation = ? ORDER BY rowid", (operation,))
            return [json.loads(answer) for (answer,) in rows.fetchall()]

    def of_order(self, order_id: str) -> list[dict[str, Any]]:
        """What was done for an order, the oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT operation, answer FROM entry WHERE order_id = ? ORDER BY rowid", (order_id,)
            ).fetchall()
        return [{"operation": operation, **json.loads(answer)} for operation, answer in rows]

    def _find(self, operation: str, key: str) -> tuple[str, str] | None:
        return self._db.execute(
            "SELECT fingerprint, answer FROM entry WHERE operation = ? AND key = ?", (operation, key)
        ).fetchone()

    def _enter(
        self, operation: str, key: str, fingerprint: str, order_id: str, work: Callable[[int], dict[str, Any]]
    ) -> dict[str, Any]:
        answer = work(self._db.execute("SELECT count(*) FROM entry").fetchone()[0] + 1)
        self._db.execute(
            "INSERT INTO entry (key, operation, order_id, fingerprint, answer) VALUES (?, ?, ?, ?, ?)",
            (key, operation, order_id, fingerprint, json.dumps(answer)),
        )
        return answer


def recorded(record: Path) -> Recorded:
    """What a stand-in did: operation -> order number -> ``{"effects": …, "repeats": …}``."""
    with closing(sqlite3.connect(record)) as db:
        rows = db.execute("SELECT operation, order_id, count(*), sum(repeats) FROM entry GROUP BY 1, 2").fetchall()
    seen: Recorded = {}
    for operation, order_id, effects, repeats in rows:
        seen.setdefault(operation, {})[order_id] = {"effects": effects, "repeats": repeats}
    return seen


def answers(record: Path, operation: str) -> list[dict[str, Any]]:
    """The answers that a stand-in gave to one operation, the oldest first."""
    with closing(sqlite3.connect(record)) as db:
        rows = db.execute("SELECT answer FROM entry WHERE operation = ? ORDER BY rowid", (operation,)).fetchall()
    return [json.loads(answer) for (answer,) in rows]
