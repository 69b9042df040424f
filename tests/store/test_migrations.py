"""Migrations arrive at the tables, from anywhere, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from esb.errors import StoreError
from esb.store import Store, migration, open_store, revision
from esb.store.tables import metadata
from esb.testing._store.given import hop, race


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store without any table."""
    server: Any = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    url = server.database() if server else "embedded"
    store = open_store(url, tmp_path)
    yield store
    store.close()
    if server:
        server.drop(url)


def _tables(store: Store) -> set[str]:
    return set(sa.inspect(store.engine).get_table_names()) - {"alembic_version"}


def test_there_is_one_head() -> None:
    """Two migrations with the same predecessor would leave a database at two revisions; it has the last number."""
    assert ScriptDirectory.from_config(migration.config()).get_heads() == [revision.head()]


def test_the_revision_is_the_one_that_alembic_sees(empty: Store) -> None:
    """It is read without Alembic, from nothing to the head."""
    for step in (lambda: None, empty.migrate, lambda: empty.downgrade("0003"), lambda: empty.downgrade("base")):
        step()
        with empty.engine.connect() as connection:
            assert empty.current() == (MigrationContext.configure(connection).get_current_revision() or "")


def test_a_database_at_the_head_is_left_alone(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alembic takes long to import, and every process of a bus looks at the revision as it starts."""
    empty.migrate()
    monkeypatch.delattr(migration, "upgrade")
    empty.migrate()


def test_the_migrations_arrive_at_the_models(empty: Store) -> None:
    """From nothing to the head, and nothing differs from the tables the code expects."""
    empty.migrate()
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_up_down_and_up_again(empty: Store) -> None:
    """Each step back takes away exactly what it brought, and the way up is open again."""
    empty.migrate()
    assert _tables(empty) == set(metadata.tables)
    empty.downgrade("base")
    assert _tables(empty) == set()
    empty.migrate()
    with empty.transaction() as t:
        t.tracking.record([hop("m1")])


def test_a_migration_keeps_what_is_stored(empty: Store) -> None:
    """Migrating a database that is at the head changes nothing."""
    empty.migrate()
    with empty.transaction() as t:
        t.tracking.record([hop("m1")])
    empty.migrate()
    with empty.reading() as t:
        assert t.tracking.get("m1", "flow:sales") is not None


def test_two_processes_migrate_at_once(empty: Store) -> None:
    """Both find the tables made, and none fails."""
    race(lambda _: empty.migrate())
    empty.require_current()


def test_an_empty_database_is_refused_by_name_of_the_command(empty: Store) -> None:
    """Whoever starts on it learns what to type; after that it works."""
    assert empty.revision() == ("", empty.head())
    with pytest.raises(StoreError, match=r"is empty, this version needs .*: run `esb db upgrade`"):
        empty.require_current()
    with pytest.raises(StoreError, match="run `esb db upgrade`"), empty.transaction() as t:
        t.tracking.record([hop("m1")])
    empty.migrate()
    empty.require_current()


def test_a_database_of_another_version_is_refused(empty: Store) -> None:
    """The text names both revisions."""
    empty.migrate()
    with empty.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match=f"is at revision 0000, this version needs {empty.head()}"):
        empty.require_current()


def test_a_migration_that_fails_leaves_nothing(empty: Store) -> None:
    """Half of the tables would be worse than none: DDL is part of the transaction on both databases."""
    with empty.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE audit (id INTEGER)"))
    with pytest.raises(StoreError):
        empty.migrate()
    assert _tables(empty) == {"audit"}


def test_a_path_with_a_percent_sign_is_no_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alembic's configuration would read one as a reference to another option."""
    import esb.migrations

    monkeypatch.setattr(esb.migrations, "__file__", "/opt/100%/esb/migrations/__init__.py")
    assert migration.config().get_main_option("script_location") == "/opt/100%/esb/migrations"
