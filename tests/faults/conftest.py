"""A bus under fire, on SQLite alone or on servers that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


def lit(root: Path, place: places.Place) -> Iterator[Fire]:
    """A bus under fire, put out in every case."""
    fire = Fire(root, place, seed=4711, under_way=20, few=8)
    try:
        yield fire
    finally:
        fire.close()
