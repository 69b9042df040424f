"""A bus under fire, on SQLite alone or on servers that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import places
from tests.faults.harness import Fire


@pytest.fixture(params=["embedded", "servers"])
def fire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fire]:
    """Embedded, and on RabbitMQ with PostgreSQL."""
    if request.param == "embedded":
        yield from lit(tmp_path, places.embedded(tmp_path))
    else:
        rabbitmq, postgresql = request.getfixturevalue("rabbitmq"), request.getfixturevalue("postgresql")
        yield from lit(tmp_path, places.servers(tmp_path, rabbitmq, postgresql))


@pytest.fixture
def server_fire(private_rabbitmq: Any, postgresql: Any, tmp_path: Path) -> Iterator[Fire]:
    """On servers of our own."""
    yield from lit(tmp_path, places.servers(tmp_path, private_rabbitmq, postgresql))


def lit(root: Path, place: places.Place) -> Iterator[Fire]:
    """A bus under fire, put out in every case."""
    fire = Fire(root, place, seed=4711)
    try:
        yield fire
    finally:
        fire.close()
