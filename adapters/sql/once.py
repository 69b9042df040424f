"""The inbox table in the target database: a message and its effect are one transaction, so a repeat has none.

This is the idempotent receiver (Enterprise Integration Patterns) on the far side of the connection, the only place
where "exactly once" can be kept.
"""

from __future__ import annotations

import hashlib
import re
import threading
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.schema import CreateTable

from esb.adapters.sql.database import PATIENCE, Database
from esb.adapters.sql.tables import split
from esb.errors import EndpointError

_PLAIN = re.compile(r"[a-z0-9_./:-]{1,190}")  # what every collation keeps apart


class Once:
    """Remembers which messages took effect.

    Args:
        endpoint: its name; messages of several endpoints share a table.
        name: of the table.
        create: make it when it is missing.
    """

    def __init__(self, endpoint: str, name: str, create: bool, database: Database) -> None:
        self._endpoint = endpoint
        self._name = name
        self._create = create
        self._database = database
        self._there = False
        self._lock = threading.Lock()
        schema, table = split(name)
        self._table = sa.Table(
            table,
            sa.MetaData(),
            sa.Column("endpoint", sa.String(100), primary_key=True),
            sa.Column("message_key", sa.String(190), primary_key=True),
            sa.Column("taken_at", sa.DateTime, nullable=False, server_default=sa.func.now()),
            schema=schema,
        )

    @property
    def statement(self) -> str:
        """What makes the table, for the database's owner."""
        return " ".join(str(CreateTable(self._table).compile(dialect=self._database.dialect)).split())

    def prepare(self, timeout: float = PATIENCE) -> None:
        """See that the table is there. Raises ``EndpointError`` with the statement that makes it."""
        with self._lock:
            if not self._there:
                self._see_to_it(timeout)
                self._there = True

    def _see_to_it(self, timeout: float) -> None:
        with self._database.transaction(f"look for {self._name}", timeout, reading=True) as connection:
            found = self._exists(connection)
        if not found:
            self._make(timeout)

    def is_new(self, connection: sa.Connection, key: str) -> bool:
        """Enter a message, in the transaction of its effect; False: it took effect before.

        Another transaction that has just entered the same one is waited for.
        """
        short = key if _PLAIN.fullmatch(key) else "sha256:" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
        entry = {"endpoint": self._endpoint, "message_key": short}
        result = connection.execute(self._insert(), entry, execution_options={"preserve_rowcount": True})
        return result.rowcount == 1

    def _insert(self) -> Any:
        if self._database.backend == "mariadb":
            return sa.insert(self._table).prefix_with("IGNORE")
        from sqlalchemy.dialects import postgresql, sqlite

        dialect = postgresql if self._database.backend == "postgresql" else sqlite
        return dialect.insert(self._table).on_conflict_do_nothing()

    def _exists(self, connection: sa.Connection) -> bool:
        return sa.inspect(connection).has_table(self._table.name, schema=self._table.schema)

    def _make(self, timeout: float) -> None:
        if not self._create:
            advice = "make it, or set create_inbox: true"
            raise EndpointError(f"{self._endpoint}: there is no {self._name}; {advice}: {self.statement}")
        with self._database.transaction(f"make {self._name}", timeout) as connection:
            try:
                with connection.begin_nested():
                    connection.execute(CreateTable(self._table, if_not_exists=True))
            except exc.DBAPIError:
                if not self._exists(connection):  # else another process was quicker
                    raise
