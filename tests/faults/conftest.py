"""A bus under fire, on SQLite alone or on servers that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import Fire
from tests.faults.tables import Tables


@pytest.fixture(params=["embedded", "servers"])
def fire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fire]:
    """Embedded, and on RabbitMQ with PostgreSQL."""
    if request.param == "embedded":
        yield from lit(tmp_path, "embedded", "embedded", Tables(tmp_path))
    else:
        rabbitmq, postgresql = request.getfixturevalue("rabbitmq"), request.getfixturevalue("postgresql")
        yield from lit(tmp_path, rabbitmq.vhost(), postgresql.database(), tables(tmp_path, postgresql))


@pytest.fixture
def server_fire(private_rabbitmq: Any, postgresql: Any, tmp_path: Path) -> Iterator[Fire]:
    """On servers of our own."""
    yield from lit(tmp_path, private_rabbitmq.vhost(), postgresql.database(), tables(tmp_path, postgresql))


def tables(root: Path, postgresql: Any) -> Tables:
    """In databases of their own."""
    return Tables(root, postgresql.database(), postgresql.database())


def lit(root: Path, broker: str, database: str, tables: Tables) -> Iterator[Fire]:
    """A bus under fire, put out in every case."""
    fire = Fire(root, broker, database, tables, seed=4711)
    try:
        yield fire
    finally:
        fire.close()
