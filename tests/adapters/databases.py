"""Databases for the tests of the SQL adapter: what lies in them, seen from the other end."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from esb.adapters.sql import SqlAdapter, SqlOperation, SqlSettings
from esb.ports import Request


class SqliteFile:
    """A file."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "legacy.db"
        self.file.touch()
        self.url = f"sqlite:///{self.file}"
        self.password: str | None = None

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement with ? for each value, committed; its rows."""
        connection = sqlite3.connect(self.file)
        try:
            with connection:
                return [tuple(row) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    def other(self) -> Any:
        """A connection of somebody else."""
        return sqlite3.connect(self.file, timeout=0)


class PostgresDatabase:
    """A database of a real server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.direct = url
        self.place = (parts.hostname or "", parts.port or 5432)
        self.user, self.password = parts.username, parts.password
        self.name = parts.path[1:]
        self.url = self.at(self.place[1])

    def at(self, port: int, user: str | None = None) -> str:
        """The URL through another port, without a password."""
        return f"postgresql://{user or self.user}@{self.place[0]}:{port}/{self.name}"

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement with ? for each value, committed; its rows."""
        with psycopg.connect(self.direct, autocommit=True) as connection:
            cursor = connection.execute(sql.replace("?", "%s"), values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def other(self) -> Any:
        """A connection of somebody else."""
        return psycopg.connect(self.direct)


class MariaDatabase:
    """A database of a real server; names in double quotes, as in the other two."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.password: str | None = None

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement with ? for each value, committed; its rows."""
        connection = self._connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql.replace("%", "%%").replace("?", "%s"), values)
            connection.commit()
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def other(self) -> Any:
        """A connection of somebody else."""
        return _Executing(self._connect())

    def _connect(self) -> Any:
        import pymysql

        parts = urlsplit(self.url)
        place: dict[str, Any] = {"host": parts.hostname, "port": parts.port, "user": parts.username}
        place["ssl_disabled"] = True  # TLS reads all the authorities that this machine trusts, for each connection
        return pymysql.connect(database=parts.path[1:], sql_mode="ANSI_QUOTES,STRICT_ALL_TABLES", **place)


class _Executing:
    """A connection that executes, as the other two do."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str) -> None:
        self._connection.cursor().execute(sql)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def opened(database: Any, operations: dict[str, Any] | None = None, name: str = "erp", **settings: Any) -> SqlAdapter:
    """An adapter on a database."""
    given = {"url": database.url, "password": database.password} | settings
    if "table" in given:
        directory = getattr(database, "directory", None)
        given.setdefault("notes", str(directory / f"{name}.notes.db") if directory else f"{name}.notes.db")
    made = {key: SqlOperation(**value) for key, value in (operations or {}).items()}
    adapter = SqlAdapter(name, SqlSettings(**given), made)
    adapter.open()
    return adapter


def message(document: Any, number: int = 1, operation: str = "write", **attributes: Any) -> Request:
    """A request to write a document; the same number is the same message."""
    given: dict[str, Any] = {"body": b"{}", "content_type": "application/json", "headers": {}} | attributes
    id = f"message-{number}"
    return Request(operation=operation, message_id=id, key=f"{id}/{operation}", document=document, **given)
