"""The ledger: numbered messages, effects on record, and processes killed with SIGKILL."""

from __future__ import annotations

from typing import Any

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


def test_broker_killed_while_messages_flow(server_fire: Fire, private_rabbitmq: Any) -> None:
    """RabbitMQ dies twice and comes back: the bus goes on by itself, nothing is lost or doubled, nothing in doubt."""
    light(server_fire)
    server_fire.bus.start("--role", "bus")
    for _ in range(2):
        server_fire.some_more()
        private_rabbitmq.kill()
        private_rabbitmq.start()
    server_fire.some_more()
    verdict = server_fire.verdict()
    assert verdict.clean, verdict


def test_database_killed_while_messages_flow(server_fire: Fire, postgresql: Any) -> None:
    """PostgreSQL dies twice and comes back: the bus goes on by itself; in doubt is only what went to it."""
    if not postgresql.private:
        pytest.skip("an external database is not killed")
    light(server_fire)
    server_fire.bus.start("--role", "bus")
    for _ in range(2):
        server_fire.some_more()
        postgresql.kill()
        server_fire.may_doubt("notes")
        postgresql.start()
    server_fire.some_more()
    verdict = server_fire.verdict()
    assert verdict.clean, verdict


def light(fire: Fire) -> None:
    """Files and rows come in; there is no web role to take requests."""
    fire.feed.start()
    fire.rows.start()
