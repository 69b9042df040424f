"""The ledger: numbered messages, effects on record, and processes killed with SIGKILL."""

from __future__ import annotations

import pytest

from esb.testing.faults import POINTS, SAGA_POINTS
from tests.faults.harness import Fire

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
JOBS_POINTS = ("jobs: handed out", "jobs: fired", "jobs: done")
BUS_POINTS = [point for point in (*POINTS, *SAGA_POINTS) if not point.startswith("jobs:")]


def test_thirty_kills_lose_nothing_and_double_nothing(fire: Fire) -> None:
    """Killed once at each named point and at random: every message takes effect once, doubt is bounded and listed."""
    light(fire)
    for place, point in enumerate(BUS_POINTS):
        fire.crash_at(point)
        if place % 2:
            fire.kill_at_random("--role", "bus")
    for point in JOBS_POINTS:
        fire.kill_everything(point)
    fire.bus.start("--role", "bus")  # without the schedule, so that it comes to rest
    verdict = fire.verdict()
    assert verdict.clean, verdict


def light(fire: Fire) -> None:
    """Files and rows come in; there is no web role to take requests."""
    fire.feed.start()
    fire.rows.start()
