"""The SQL adapter under the shipped suite, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esb.adapters.sql import SqlAdapter, SqlOperation, SqlSettings
from esb.ports import Adapter, Request
from esb.testing.adapters import CANARY, AdapterSuite, World
from esb.testing.proxy import Proxy
from tests.adapters.databases import MariaDatabase, PostgresDatabase, SqliteFile

WAYS: dict[str, dict[str, Any]] = {
    "marked": {"status": {"column": "state", "mark": "taken_by", "reason": "why"}},
    "noted": {"status": {"column": "state", "reason": "why"}},
}
PROBE = {"select": "SELECT 1 FROM sent WHERE message = :id", "parameters": {"id": "{message_id}"}}


class SqlWorld(World):
    """A table that somebody fills, and one that is written to."""

    keys_by_content = False

    def __init__(self, database: Any, directory: Path, way: str = "marked") -> None:
        self.database = database
        self.directory = directory
        self.url, self.password = database.url, database.password
        self.way = WAYS[way]
        blob = "BYTEA" if isinstance(database, PostgresDatabase) else "BLOB"
        database.run(
            f"CREATE TABLE drop_box (name VARCHAR(50) PRIMARY KEY, payload {blob}, state CHAR(1), "
            "taken_by VARCHAR(120), why VARCHAR(250))"
        )
        database.run(f"CREATE TABLE sent (message VARCHAR(50) UNIQUE, payload {blob})")

    def adapter(self) -> Adapter:
        settings = SqlSettings(
            url=self.url, password=self.password, table="drop_box", key="name", body="payload",
            inbox_table="esb_inbox", create_inbox=True, notes="notes.db", **self.way,
        )  # fmt: skip
        operation = SqlOperation(insert="sent", columns={"message": "{message_id}"}, body="payload", probe=PROBE)
        return SqlAdapter("box", settings, {"deliver": operation}, root=str(self.directory))

    def offer(self, content: bytes, name: str) -> None:
        self.database.run("INSERT INTO drop_box (name, payload, state) VALUES (?, ?, 'N')", name, content)

    def waiting(self) -> list[bytes]:
        return [bytes(row[0]) for row in self.database.run("SELECT payload FROM drop_box WHERE state = 'N'")]

    def rejected(self) -> list[tuple[bytes, str]]:
        rows = self.database.run("SELECT payload, why FROM drop_box WHERE state = 'E'")
        return [(bytes(payload), why) for payload, why in rows]

    def received(self) -> list[bytes]:
        return [bytes(row[0]) for row in self.database.run("SELECT payload FROM sent WHERE payload IS NOT NULL")]

    def refuse(self, request: Request) -> None:
        self.database.run("INSERT INTO sent (message) VALUES (?)", request.message_id)


class SqliteWorld(SqlWorld):
    """A file, which can be moved away. It cannot hang: a lock on it is an answer."""

    def break_it(self) -> None:
        self.database.file.rename(self.directory / "unmounted.db")

    def mend(self) -> None:
        (self.directory / "unmounted.db").rename(self.database.file)


class PostgresWorld(SqlWorld):
    """A server behind a network that can fail, and a user whose password must not show."""

    def __init__(self, database: PostgresDatabase, directory: Path) -> None:
        super().__init__(database, directory)
        self.proxy = Proxy(database.place)
        role = f"canary_{database.name}"
        database.run(f"CREATE ROLE {role} LOGIN PASSWORD '{CANARY}'")
        database.run(f"GRANT ALL ON drop_box, sent TO {role}")
        database.run(f"GRANT ALL ON SCHEMA public TO {role}")
        self.role, self.password = role, CANARY
        self.url = database.at(self.proxy.port, role)

    def break_it(self) -> None:
        self.port = self.proxy.port
        self.proxy.close()

    def mend(self) -> None:
        self.proxy = Proxy(self.database.place, port=self.port)

    def hang(self) -> None:
        """The commit itself takes for ever."""
        self.database.run(
            "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$"
        )
        self.database.run(
            "CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON sent DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION hang()"
        )

    def close(self) -> None:
        self.proxy.close()
        self.database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ?", self.role)
        self.database.run(f"DROP OWNED BY {self.role} CASCADE")
        self.database.run(f"DROP ROLE {self.role}")


class TestOnSqlite(AdapterSuite):
    """All scenarios but a hanging file."""

    def make(self, directory: Path) -> World:
        return SqliteWorld(SqliteFile(directory), directory)


class TestOnSqliteWithNotes(AdapterSuite):
    """A table with a state and nothing else: what is taken stands in the notes."""

    def make(self, directory: Path) -> World:
        return SqliteWorld(SqliteFile(directory), directory, "noted")


class TestOnMariadb(AdapterSuite):
    """All scenarios but a network that fails."""

    @pytest.fixture(autouse=True)
    def _server(self, mariadb: Any) -> None:
        self.server = mariadb

    def make(self, directory: Path) -> World:
        return SqlWorld(MariaDatabase(self.server.database()), directory)


@pytest.mark.postgresql
class TestOnPostgresql(AdapterSuite):
    """All scenarios."""

    @pytest.fixture(autouse=True)
    def _server(self, postgresql: Any) -> None:
        self.server = postgresql

    def make(self, directory: Path) -> World:
        return PostgresWorld(PostgresDatabase(self.server.database()), directory)
