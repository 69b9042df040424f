"""Aggregation, resequencing and scatter-gather under fire: killed with SIGKILL between any two messages of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.testing.faults import GROUP_POINTS
from tests.faults.depot import Depot

pytestmark = pytest.mark.faults
# Each group gets a member, each sequence a number before each of these deaths.
POINTS = (*GROUP_POINTS, "flow: tracked", "endpoint: replied")


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def depot(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Depot]:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    servers: Any = ("embedded", "embedded")
    points = POINTS
    if request.param == "servers":
        points = POINTS[::2]  # a start takes longer there
        servers = request.getfixturevalue("rabbitmq").vhost(), request.getfixturevalue("postgresql").database()
    depot = Depot(tmp_path, *servers, points)
    try:
        yield depot
    finally:
        depot.close()


@pytest.mark.timeout(400)
def test_a_kill_between_any_two_messages_leads_to_the_right_result_once(depot: Depot) -> None:
    """Before and behind each commit, before and behind what goes out, around the answers."""
    for share, point in enumerate(depot.points):
        depot.deliver(share)
        depot.crash_at(point, visit=1 + share % 3)
    depot.bus.start("--role", "bus")
    depot.verdict()
