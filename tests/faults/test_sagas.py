"""Checkout sagas under fire: killed with SIGKILL at every boundary, all end, and nothing takes place twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.testing.faults import SAGA_POINTS
from tests.faults.checkout import Shop

pytestmark = pytest.mark.faults
POINTS = (*SAGA_POINTS[:-1], "endpoint: after effect", "endpoint: replied")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """On SQLite alone."""
    yield from _opened(Shop(tmp_path, "embedded", "embedded"))


@pytest.fixture
def server_shop(rabbitmq: Any, postgresql: Any, tmp_path: Path) -> Iterator[Shop]:
    """On RabbitMQ and PostgreSQL."""
    yield from _opened(Shop(tmp_path, rabbitmq.vhost(), postgresql.database()))


def _opened(shop: Shop) -> Iterator[Shop]:
    try:
        yield shop
    finally:
        shop.close()


def test_a_thousand_sagas_with_a_kill_at_each_boundary(shop: Shop) -> None:
    """Before and after call, before and after commit, before ack, and around the effects: all ended, none twice."""
    _under_fire(shop, 1000, POINTS)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_sagas_on_servers_with_a_kill_at_each_boundary(server_shop: Shop) -> None:
    """The same with fewer on RabbitMQ and PostgreSQL."""
    _under_fire(server_shop, 200, POINTS)


def _under_fire(shop: Shop, orders: int, points: tuple[str, ...]) -> None:
    """A share of the orders arrives before each kill, so that all of them are under way at one or another."""
    share = orders // len(points)
    for number, point in enumerate(points):
        last = number == len(points) - 1
        shop.order(range(number * share, orders if last else (number + 1) * share))
        shop.crash_at(point, 2 if point.startswith("saga") else 20)
    shop.bus.start("--role", "bus")
    shop.verdict(orders)
