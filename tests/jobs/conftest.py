"""A bus directory with a schedule, on the embedded servers and on real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_place import Place


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """On SQLite alone, and on RabbitMQ and PostgreSQL."""
    broker = database = "embedded"
    if request.param == "servers":
        broker = request.getfixturevalue("rabbitmq").vhost()
        database = request.getfixturevalue("postgresql").database()
    place = Place(tmp_path, broker, database)
    yield place
    place.close()
