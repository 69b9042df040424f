"""The warehouse: takes orders and collections over HTTP, each once per Idempotency-Key, and fails now and then.

``python -m esb.examples.retail.systems.warehouse --record warehouse.db --port 8101``

| request               | answer                                                                          |
| --------------------- | ------------------------------------------------------------------------------- |
| ``POST /orders``      | 201 booked; 200 the same answer again for a key seen before                      |
| ``POST /collections`` | the same, for orders that a customer collects                                   |
| ``GET /orders/ID``    | what is booked under an order number, 404 when nothing is                       |
| ``GET /health``       | 200, or 503 while it is down                                                    |

Without a key: 400. A key that comes again with another body: 422 (after the IETF draft on the Idempotency-Key header).
When WAREHOUSE_TOKEN is set in the environment, a request without it as bearer token is answered 401.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

from esb.examples.retail.systems import service

SCHEMA = """CREATE TABLE IF NOT EXISTS booking (
    key TEXT NOT NULL, operation TEXT NOT NULL, order_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL, repeats INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (operation, key))"""
OPERATIONS = {"/orders": "order", "/collections": "collect"}


class Outage:
    """A failure that comes once: the booking that triggers it is made, but its answer never leaves the house.

    Args:
        after: bookings before it begins; 0 means never.
        seconds: how long it lasts.
        clock: seconds that only go forward.
    """

    def __init__(self, after: int = 0, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = after
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")

    def booked(self) -> bool:
        """Count a booking; True when the outage begins with it."""
        self._left -= 1
        if self._left == 0:
            self._until = self._clock() + self._seconds
        return self._left == 0

    def remaining(self) -> float:
        """Seconds until the warehouse is back; 0 while it works."""
        return max(0.0, self._until - self._clock())


class Warehouse:
    """The books: one effect for each key, repeats counted apart."""

    def __init__(self, record: Path, outage: Outage | None = None) -> None:
        self._books = service.open_record(record, SCHEMA)
        self._lock = threading.Lock()
        self.outage = outage or Outage()

    def book(self, operation: str, key: str, body: bytes) -> tuple[int, Any]:
        """Book an order once. Returns the status and the answer; status 0 means: booked, but the power is gone."""
        if not key:
            return 400, {"error": "an Idempotency-Key is needed"}
        try:
            order_id = str(json.loads(body)["orderId"])
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "a JSON object with an orderId is needed"}
        with self._lock:
            known = self._find(operation, key)
            return self._repeat(operation, key, body, known) if known else self._new(operation, key, order_id, body)

    def booked(self, order_id: str) -> list[dict[str, Any]]:
        """What is booked under an order number."""
        with self._lock:
            rows = self._books.execute(
                "SELECT operation, answer FROM booking WHERE order_id = ? ORDER BY rowid", (order_id,)
            ).fetchall()
        return [{"operation": operation, **json.loads(answer)} for operation, answer in rows]

    def _find(self, operation: str, key: str) -> tuple[str, str] | None:
        return self._books.execute(
            "SELECT fingerprint, answer FROM booking WHERE operation = ? AND key = ?", (operation, key)
        ).fetchone()

    def _repeat(self, operation: str, key: str, body: bytes, known: tuple[str, str]) -> tuple[int, Any]:
        if known[0] != sha256(body).hexdigest():
            return 422, {"error": "this Idempotency-Key came with another body before"}
        self._books.execute(
            "UPDATE booking SET repeats = repeats + 1 WHERE operation = ? AND key = ?", (operation, key)
        )
        return 200, json.loads(known[1])

    def _new(self, operation: str, key: str, order_id: str, body: bytes) -> tuple[int, Any]:
        number = self._books.execute("SELECT count(*) FROM booking").fetchone()[0] + 1
        answer = {"orderId": order_id, "booking": f"W{number:06d}"}
        self._books.execute(
            "INSERT INTO booking (key, operation, order_id, fingerprint, answer) VALUES (?, ?, ?, ?, ?)",
            (key, operation, order_id, sha256(body).hexdigest(), json.dumps(answer)),
        )
        return (0 if self.outage.booked() else 201), answer


def recorded(record: Path) -> dict[str, dict[str, dict[str, int]]]:
    """What was booked: operation -> order number -> ``{"effects": …, "repeats": …}``."""
    with closing(sqlite3.connect(record)) as books:
        rows = books.execute("SELECT operation, order_id, count(*), sum(repeats) FROM booking GROUP BY 1, 2").fetchall()
    seen: dict[str, dict[str, dict[str, int]]] = {operation: {} for operation in OPERATIONS.values()}
    for operation, order_id, effects, repeats in rows:
        seen[operation][order_id] = {"effects": effects, "repeats": repeats}
    return seen


def handler(warehouse: Warehouse, token: str = "") -> type[service.Handler]:
    """The warehouse's door; ``token`` is what callers must show, if any."""

    class Door(service.Handler):
        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            place, _, order_id = self.path.rpartition("/")
            if not self._open():
                return
            if self.path == "/health":
                self.answer(200, {"status": "open"})
            else:
                booked = warehouse.booked(order_id) if place == "/orders" else []
                self.answer(200 if booked else 404, booked or {"error": f"nothing at {self.path}"})

        def do_POST(self) -> None:  # noqa: N802 - named by http.server
            body = self.body()
            if not self._open():
                return
            if not _allowed(self.headers.get("Authorization", ""), token):
                self.answer(401, {"error": "a bearer token is needed"}, {"WWW-Authenticate": "Bearer"})
            elif self.path not in OPERATIONS:
                self.answer(404, {"error": f"nothing at {self.path}"})
            else:
                self._book(OPERATIONS[self.path], body)

        def _book(self, operation: str, body: bytes) -> None:
            status, answer = warehouse.book(operation, self.headers.get("Idempotency-Key", ""), body)
            if status:
                self.answer(status, answer)
            else:
                self.hang_up()

        def _open(self) -> bool:
            remaining = warehouse.outage.remaining()
            if remaining:
                self.answer(503, {"error": "the warehouse is down"}, {"Retry-After": str(ceil(remaining))})
            return not remaining

    return Door


def _allowed(authorization: str, token: str) -> bool:
    return not token or hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


def main() -> None:
    """Run until a signal."""
    options = service.parser("warehouse", "A warehouse's HTTP service, with an outage on demand.")
    options.add_argument("--down-after", type=int, default=0, metavar="N", help="go down with the Nth booking")
    options.add_argument("--down-for", type=float, default=3.0, metavar="SECONDS", help="and come back after so long")
    chosen = options.parse_args()
    warehouse = Warehouse(chosen.record, Outage(chosen.down_after, chosen.down_for))
    door = handler(warehouse, os.environ.get("WAREHOUSE_TOKEN", ""))
    service.serve(door, chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
