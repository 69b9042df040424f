"""Tables as the database has them: their columns and types, looked up once and again after a change of schema."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from esb.errors import EndpointError

TYPE = "esb_type"  # in Column.info: the type as declared


class Tables:
    """The tables of one database by name. Safe to use from many threads."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._known: dict[str, sa.Table] = {}
        self._unique: frozenset[tuple[str, frozenset[str]]] = frozenset()

    def get(self, connection: sa.Connection, name: str, columns: Iterable[str] = ()) -> sa.Table:
        """A table that has these columns. Raises ``EndpointError`` naming what is missing."""
        table = self._known.get(name)
        if table is None:
            table = self._look_up(connection, name)
            with self._lock:
                self._known[name] = table
        missing = [column for column in columns if column not in table.c]
        if missing:
            self.forget()
            raise EndpointError(
                f"{self._endpoint}: {name} has no column {missing[0]}; it has {', '.join(table.c.keys())}"
            )
        return table

    def forget(self) -> None:
        """Look everything up again: the schema may have changed."""
        with self._lock:
            self._known = {}
            self._unique = frozenset()

    def require_unique(self, connection: sa.Connection, name: str, columns: Collection[str]) -> None:
        """Raises ``EndpointError`` unless the table has a primary key or unique index on just these columns."""
        if (name, frozenset(columns)) in self._unique:
            return
        if set(columns) not in unique_sets(connection, name):
            listed = ", ".join(columns)
            raise EndpointError(
                f"{self._endpoint}: {name} has no unique index on ({listed}): an upsert would add rows without end"
            )
        with self._lock:
            self._unique = self._unique | {(name, frozenset(columns))}

    def _look_up(self, connection: sa.Connection, name: str) -> sa.Table:
        metadata = sa.MetaData()
        if connection.dialect.name == "sqlite":
            event.listen(metadata, "column_reflect", _as_it_is)
        schema, table = split(name)
        try:
            return sa.Table(table, metadata, schema=schema, autoload_with=connection, resolve_fks=False)
        except exc.NoSuchTableError as error:
            raise EndpointError(f"{self._endpoint}: there is no table {name} (or it may not be read)") from error


def split(name: str) -> tuple[str | None, str]:
    """(schema or None, table)."""
    schema, _, table = name.rpartition(".")
    return schema or None, table


def unique_sets(connection: sa.Connection, name: str) -> list[set[str]]:
    """The sets of columns that identify a row; none for a view."""
    schema, table = split(name)
    inspector = sa.inspect(connection)
    try:
        found: list[Any] = [inspector.get_pk_constraint(table, schema)["constrained_columns"]]
        found += [one["column_names"] for one in inspector.get_unique_constraints(table, schema)]
        found += [one["column_names"] for one in inspector.get_indexes(table, schema) if one["unique"]]
    except exc.NoSuchTableError:
        return []
    return [set(columns) for columns in found if columns and None not in columns]


def declared(column: Any) -> Any:
    """The type that the database declares for a column."""
    return column.info.get(TYPE, column.type)


def _as_it_is(inspector: Any, table: sa.Table, column: Any) -> None:
    """SQLite keeps what it is given, whatever is declared: values pass untouched, and our own rules apply."""
    column["info"] = {TYPE: column["type"]}
    column["type"] = sa.types.NullType()
