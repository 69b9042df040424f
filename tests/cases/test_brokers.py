"""The same test files on each broker: in memory, embedded, and on RabbitMQ."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from esb.broker import open_broker
from esb.broker.port import Broker, Queue, Topology, flow_queue
from esb.cases.run import run_cases
from esb.config import load
from esb.discovery import discover
from esb.flow import build_parts

EXAMPLES = Path(__file__).parents[2] / "examples"
BUSES = ("retail", "patterns")


@pytest.fixture(scope="module")
def buses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, with the secrets that they ask for."""
    place = tmp_path_factory.mktemp("examples")
    for name in BUSES:
        shutil.copytree(EXAMPLES / name, place / name)
    (place / "retail/secrets").mkdir()
    for secret in ("payments-token", "store-key", "warehouse-token", "webshop-token"):
        (place / "retail/secrets" / secret).write_text("t")
    return place


def failed(place: Path, broker: Broker | None, select: str = "") -> dict[str, Any]:
    """What does not pass, and why; there must be cases."""
    definition = load(place, discover(), environ={})
    results = list(run_cases(definition, build_parts(definition), select, broker))
    assert results
    return {f"{one.file}:{one.line} {one.name}": one.problems for one in results if not one.passed}


@pytest.mark.parametrize("bus", BUSES)
def test_in_memory(buses: Path, bus: str) -> None:
    """Without any server."""
    assert failed(buses / bus, None) == {}


@pytest.mark.parametrize("bus", BUSES)
def test_embedded(buses: Path, bus: str, tmp_path: Path) -> None:
    """On the broker that a bus without a server has."""
    with closing(open_broker("embedded", tmp_path)) as broker:
        assert failed(buses / bus, broker) == {}


@pytest.fixture
def vhost(rabbitmq: Any) -> str:
    """A virtual host of the test's own."""
    return str(rabbitmq.vhost())


@pytest.fixture
def server(vhost: str) -> Iterator[Broker]:
    """A RabbitMQ broker."""
    with closing(open_broker(vhost, "")) as broker:
        yield broker


@pytest.mark.rabbitmq
@pytest.mark.parametrize("bus", BUSES)
def test_on_rabbitmq(buses: Path, bus: str, server: Broker) -> None:
    """On a server: what cases show of a bus, it does there, too."""
    assert failed(buses / bus, server) == {}


@pytest.mark.rabbitmq
def test_a_bus_on_the_same_server_notices_nothing(buses: Path, server: Broker) -> None:
    """Its queues and events are not those of the cases, though they are called the same there."""
    queue = flow_queue("archive")
    server.declare(Topology((Queue(queue, ("order.accepted.v1",)),)))
    assert failed(buses / "retail", server, "sales") == {}
    assert server.depths([queue])[queue].ready == 0
