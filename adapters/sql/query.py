"""The way back: a message asks a question of the database, and rows are the answer."""

from __future__ import annotations

import msgspec

from esb.adapters.sql.database import Database
from esb.adapters.sql.settings import Probe, SqlOperation
from esb.adapters.sql.values import to_json
from esb.adapters.sql.writer import Statement
from esb.errors import Refused
from esb.ports import Reply, Request

MOST = 1000  # rows of one answer: what is larger belongs into messages of its own


class Query:
    """Carries out one ``select``. Holds nothing that changes, so threads share it."""

    def __init__(self, endpoint: str, operation: SqlOperation, database: Database) -> None:
        self._endpoint = endpoint
        self._database = database
        self._one = operation.one
        self._statement = Statement(operation.select or "", operation.parameters)

    def answer(self, request: Request) -> Reply:
        """Rows as a JSON array; with ``one`` the first row as an object, or null."""
        with self._database.transaction("select", request.timeout) as connection:
            result = self._statement.execute(connection, request)
            rows = result.mappings().fetchmany(1 if self._one else MOST + 1)
        if len(rows) > MOST:
            raise Refused(f"{self._endpoint}: the answer has more than {MOST} rows: select fewer")
        found = [msgspec.Raw(to_json(dict(row))) for row in rows]
        body = msgspec.json.encode((found[0] if found else None) if self._one else found)
        return Reply(detail=f"{len(found)} rows", body=body, content_type="application/json")


class Find:
    """Looks whether a statement took effect. Holds nothing that changes, so threads share it."""

    def __init__(self, probe: Probe, database: Database) -> None:
        self._database = database
        self._statement = Statement(probe.select, probe.parameters)

    def find(self, request: Request) -> Reply | None:
        """A row means that it did."""
        with self._database.transaction("look whether it took effect", request.timeout, reading=True) as connection:
            found = self._statement.execute(connection, request).first() is not None
        return Reply(detail="had taken effect") if found else None
