"""An empty, migrated store for each test: a copy of one made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.store import Store, open_store


@pytest.fixture
def sqlite_store(migrated_file: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty embedded store."""
    shutil.copy(migrated_file, tmp_path / "store.db")
    store = open_store("embedded", tmp_path)
    yield store
    store.close()


@pytest.fixture
def postgresql_store(postgresql: Any, migrated_database: str) -> Iterator[Store]:
    """An empty store on PostgreSQL."""
    url = postgresql.database(migrated_database)
    store = open_store(url, ".")
    yield store
    store.close()
    postgresql.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store, on each database."""
    return request.getfixturevalue(f"{request.param}_store")
