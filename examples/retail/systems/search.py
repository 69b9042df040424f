"""The search service: keeps one document for each order number; putting it again replaces it.

``python -m esb.examples.retail.systems.search --record search.db --port 8102``

| request               | answer                                             |
| --------------------- | -------------------------------------------------- |
| ``PUT /orders/ID``    | 201 new, 200 replaced                              |
| ``GET /orders/ID``    | the document, or 404                               |
| ``GET /orders?q=…``   | the numbers of the orders whose text has the words |
| ``GET /health``       | 200                                                |
"""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from esb.examples.retail.systems import service

SCHEMA = """CREATE TABLE IF NOT EXISTS document (
    order_id TEXT PRIMARY KEY, content TEXT NOT NULL, puts INTEGER NOT NULL DEFAULT 1)"""


class Index:
    """The documents, by order number."""

    def __init__(self, record: Path) -> None:
        self._documents = service.open_record(record, SCHEMA)
        self._lock = threading.Lock()

    def put(self, order_id: str, content: str) -> bool:
        """Keep a document; True when the order was not known before."""
        with self._lock:
            puts = self._documents.execute(
                "INSERT INTO document (order_id, content) VALUES (?, ?) ON CONFLICT (order_id) "
                "DO UPDATE SET content = excluded.content, puts = puts + 1 RETURNING puts",
                (order_id, content),
            ).fetchone()[0]
        return bool(puts == 1)

    def get(self, order_id: str) -> Any:
        """The document of an order, or None."""
        with self._lock:
            row = self._documents.execute("SELECT content FROM document WHERE order_id = ?", (order_id,)).fetchone()
        return json.loads(row[0]) if row else None

    def find(self, words: str) -> list[str]:
        """Numbers of the orders that contain the words, at most 50."""
        with self._lock:
            rows = self._documents.execute(
                "SELECT order_id FROM document WHERE instr(lower(content), lower(?)) ORDER BY order_id LIMIT 50",
                (words,),
            ).fetchall()
        return [order_id for (order_id,) in rows]


def recorded(record: Path) -> dict[str, int]:
    """How often each order was put: order number -> times."""
    with closing(sqlite3.connect(record)) as documents:
        rows = documents.execute("SELECT order_id, puts FROM document").fetchall()
    return dict(rows)


def handler(index: Index) -> type[service.Handler]:
    """The search service's door."""

    class Door(service.Handler):
        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            place = urlsplit(self.path)
            if place.path == "/health":
                self.answer(200, {"status": "open"})
            elif place.path == "/orders":
                self.answer(200, index.find(" ".join(parse_qs(place.query).get("q", []))))
            else:
                found = index.get(_order_id(place.path))
                self.answer(200 if found else 404, found or {"error": f"nothing at {place.path}"})

        def do_PUT(self) -> None:  # noqa: N802 - named by http.server
            body, order_id = self.body(), _order_id(urlsplit(self.path).path)
            try:
                content = json.dumps(json.loads(body), ensure_ascii=False)
            except ValueError:
                self.answer(400, {"error": "a JSON document is needed"})
                return
            if order_id:
                self.answer(201 if index.put(order_id, content) else 200, {"orderId": order_id})
            else:
                self.answer(404, {"error": f"nothing at {self.path}"})

    return Door


def _order_id(path: str) -> str:
    place, _, order_id = path.rpartition("/")
    return unquote(order_id) if place == "/orders" else ""


def main() -> None:
    """Run until a signal."""
    chosen = service.parser("search", "A search service over HTTP.").parse_args()
    service.serve(handler(Index(chosen.record)), chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
