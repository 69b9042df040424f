"""A rig for each test, on SQLite alone; ``server_rig`` is on RabbitMQ and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.worker import endpoint, flow, inbound, saga, thread
from tests.worker.rig import Rig


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that have nothing to do look again at once: the tests drive them by hand."""
    for module in (endpoint, flow, inbound, saga):
        monkeypatch.setattr(module, "TAKE", 0.02)
    monkeypatch.setattr(thread, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(thread, "LONGEST_PAUSE", 0.01)


@pytest.fixture
def embedded_rig(tmp_path: Path, migrated_file: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, store=migrated_file)
    yield rig
    rig.close()


@pytest.fixture
def rig(embedded_rig: Rig) -> Rig:
    return embedded_rig


@pytest.fixture
def server_rig(tmp_path: Path, rabbitmq: Any, postgresql: Any, migrated_database: str) -> Iterator[Rig]:
    rig = Rig(tmp_path, rabbitmq.vhost(), postgresql.database(migrated_database))
    yield rig
    rig.close()


@pytest.fixture
def narrow_rig(server_rig: Rig, private_rabbitmq: Any) -> Iterator[Rig]:
    """On a RabbitMQ that takes no body of more than 100,000 bytes."""
    private_rabbitmq.limit_messages(100_000)
    yield server_rig
    private_rabbitmq.limit_messages()
