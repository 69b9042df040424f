"""What some stand-ins keep: one document for each path, where putting again replaces."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from esb.examples.retail.systems import service

SCHEMA = """CREATE TABLE IF NOT EXISTS document (
    path TEXT PRIMARY KEY, content TEXT NOT NULL, puts INTEGER NOT NULL DEFAULT 1)"""


class Documents:
    """The documents, by path, in a file of their own; shared by all threads of a stand-in."""

    def __init__(self, record: Path) -> None:
        self._db = service.open_record(record, SCHEMA)
        self._lock = threading.Lock()

    def put(self, path: str, document: Any) -> bool:
        """Keep a document; True when there was none at that path."""
        with self._lock:
            puts = self._db.execute(
                "INSERT INTO document (path, content) VALUES (?, ?) ON CONFLICT (path) "
                "DO UPDATE SET content = excluded.content, puts = puts + 1 RETURNING puts",
                (path, json.dumps(document, ensure_ascii=False)),
            ).fetchone()[0]
        return bool(puts == 1)

    def get(self, path: str) -> Any:
        """The document at a path, or None."""
        with self._lock:
            row = self._db.execute("SELECT content FROM document WHERE path = ?", (path,)).fetchone()
        return json.loads(row[0]) if row else None

    def find(self, below: str, words: str) -> list[str]:
        """Names below a path whose documents contain the words, at most 50."""
        with self._lock:
            rows = self._db.execute(
                "SELECT substr(path, ?) FROM document WHERE instr(path, ?) = 1 AND instr(lower(content), lower(?)) "
                "ORDER BY path LIMIT 50",
                (len(below) + 1, below, words),
            ).fetchall()
        return [name for (name,) in rows]


def recorded(record: Path, below: str) -> dict[str, Any]:
    """The documents below a path (``/stock/``), by what stands behind it."""
    with closing(sqlite3.connect(record)) as db:
        rows = db.execute("SELECT path, content FROM document WHERE instr(path, ?) = 1", (below,)).fetchall()
    return {path.removeprefix(below): json.loads(content) for path, content in rows}


def handler(documents: Documents, places: tuple[str, ...]) -> type[service.Handler]:
    """A door that takes documents at paths below ``places``, and gives them back."""

    class Door(service.Handler):
        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            if self.path == "/health":
                self.answer(200, {"status": "open"})
            else:
                found = documents.get(self.path)
                self.answer(200 if found else 404, found or {"error": f"nothing at {self.path}"})

        def do_PUT(self) -> None:  # noqa: N802 - named by http.server
            body = self.body()
            if not self.path.startswith(places) or self.path in places:
                self.answer(404, {"error": f"nothing at {self.path}"})
                return
            try:
                document = json.loads(body)
            except ValueError:
                self.answer(400, {"error": "a JSON document is needed"})
                return
            self.answer(201 if documents.put(self.path, document) else 200, {"path": self.path})

    return Door
