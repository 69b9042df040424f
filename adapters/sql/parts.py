"""An endpoint's working parts, put together: its database, its source of rows, a writer for each operation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from esb.adapters.sql.database import Database
from esb.adapters.sql.notes import Notes
from esb.adapters.sql.once import Once
from esb.adapters.sql.query import Find, Query
from esb.adapters.sql.rows import Reader
from esb.adapters.sql.scan import DeleteSource, SeenSource
from esb.adapters.sql.settings import SqlOperation, SqlSettings
from esb.adapters.sql.status import StatusSource
from esb.adapters.sql.tables import Tables, unique_sets
from esb.adapters.sql.writer import Writer
from esb.errors import EndpointError


class Parts:
    """Everything that needs SQLAlchemy."""

    def __init__(
        self,
        endpoint: str,
        backend: str,
        settings: SqlSettings,
        operations: Mapping[str, SqlOperation],
        root: str,
        notes: Path,
    ) -> None:
        password = settings.password.get_secret_value() if settings.password else None
        self._endpoint = endpoint
        self._settings = settings
        self._database = Database(endpoint, backend, settings.address, password, root, settings.connect_timeout)
        self._tables = Tables(endpoint)
        self._notes = Notes(endpoint, notes)
        self._source = _source(endpoint, settings, self._database, self._tables, self._notes)
        name, create = settings.inbox_table, settings.create_inbox
        self._once = Once(endpoint, name, create, self._database) if name else None
        self.queries = {key: Query(endpoint, one, self._database) for key, one in operations.items() if one.select}
        self.writers = {
            key: Writer(endpoint, one, self._database, self._tables, self._once)
            for key, one in operations.items()
            if not one.select
        }
        self.probes = {key: Find(one.probe, self._database) for key, one in operations.items() if one.probe}

    @property
    def source(self) -> Any:
        """Where rows come from. Raises ``EndpointError`` when nothing is received from this endpoint."""
        if self._source is None:
            raise EndpointError(f"{self._endpoint}: settings.table is missing: there is nothing to take rows from")
        return self._source

    def close(self) -> None:
        """Let everything go."""
        self._database.close()
        self._notes.close()

    def check(self) -> str:
        """A sentence, or ``EndpointError``."""
        self._tables.forget()
        with self._database.transaction("look at the tables", reading=True) as connection:
            connection.execute(sa.select(1))
            self._check_source(connection)
            for writer in self.writers.values():  # of a query nothing can be known without asking it
                writer.check(connection)
        if self._once:
            self._once.prepare()
        return f"{self._database.name} answers"

    def _check_source(self, connection: sa.Connection) -> None:
        name, key = self._settings.table, set(self._settings.key)
        if not name:
            return
        self._tables.get(connection, name, Reader(self._endpoint, self._settings).named)
        known = unique_sets(connection, name)
        if known and not any(one <= key for one in known):
            listed = ", ".join(self._settings.key)
            raise EndpointError(f"{self._endpoint}: ({listed}) does not identify a row of {name}: no unique index")


def _source(endpoint: str, settings: SqlSettings, *parts: Any) -> StatusSource | DeleteSource | SeenSource | None:
    if settings.status:
        return StatusSource(endpoint, settings, *parts)
    if settings.delete:
        return DeleteSource(endpoint, settings, *parts)
    return SeenSource(endpoint, settings, *parts) if settings.seen else None
