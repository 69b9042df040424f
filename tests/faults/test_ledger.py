"""The ledger: numbered messages, effects on record, and processes killed with SIGKILL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from esb.testing.faults import POINTS
from tests.faults.harness import Fire

pytestmark = pytest.mark.faults
RANDOM_KILLS = 18  # beside one at each named point


@pytest.fixture(params=["embedded", "servers"])
def fire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fire]:
    """A bus under fire, on SQLite alone or on RabbitMQ and PostgreSQL."""
    if request.param == "embedded":
        broker = database = "embedded"
    else:
        broker = request.getfixturevalue("vhost")
        database = request.getfixturevalue("database")
    fire = Fire(tmp_path, broker, database, seed=4711)
    try:
        yield fire
    finally:
        fire.close()


def test_thirty_kills_lose_nothing_and_double_nothing(fire: Fire) -> None:
    """Killed once at each named point and at random: every message takes effect once, doubt is bounded and listed."""
    fire.feed.start()
    for point in POINTS:
        fire.crash_at(point)
    for _ in range(RANDOM_KILLS):
        fire.kill_at_random()
    fire.bus.start()
    fire.verdict()
