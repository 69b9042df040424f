"""Every kind of fault, in a short form; `make faults` is the long one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import places
from tests.faults.harness import Fire
from tests.faults.kinds import KINDS, LINKS, PROCESSES, SERVERS, SYSTEMS
from tests.faults.scenarios import DELAYS
from tests.faults.trial import Trial

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
HOLD = 1.5  # seconds that a fault lasts which does not end by itself
FEW = {"under_way": 10, "few": 4, "delays": DELAYS}
NETWORKS = [f"{what} {link}" for what in ("silence", "lag", "cut") for link in LINKS]
ANSWERS = ["confirms late", "confirms refused", "commands returned"]


def test_processes(tmp_path: Path) -> None:
    """Each role is killed and stands still, each by itself and all at once: nothing is lost, doubled or stuck."""
    _passes(_embedded(tmp_path), PROCESSES)


def test_systems(tmp_path: Path) -> None:
    """A system is down, silent, busy, slow, flapping, lying, refusing, and the disk is full."""
    _passes(_embedded(tmp_path), [*SYSTEMS, "full disk"])


def test_servers(tmp_path: Path, private_rabbitmq: Any, private_postgresql: Any) -> None:
    """RabbitMQ and PostgreSQL are killed and stand still; RabbitMQ has no memory, and full queues."""
    _passes(_on_servers(tmp_path, private_rabbitmq, private_postgresql), SERVERS.keys() - {*NETWORKS, *ANSWERS})


def test_networks(tmp_path: Path, private_rabbitmq: Any, private_postgresql: Any) -> None:
    """Each connection to a server is silent, slow and cut; confirms are late and refused, commands returned."""
    _passes(_on_servers(tmp_path, private_rabbitmq, private_postgresql), [*NETWORKS, *ANSWERS])


def test_none_is_left_out() -> None:
    """Every kind is struck by one of these tests."""
    assert {*PROCESSES, *SYSTEMS, *SERVERS, "full disk"} == {*KINDS}


def _embedded(root: Path) -> Fire:
    return Fire(root, places.embedded(root), seed=4711, **FEW)


def _on_servers(root: Path, rabbitmq: Any, postgresql: Any) -> Fire:
    return Fire(root, places.servers(root, rabbitmq, postgresql), seed=4711, **FEW)


def _passes(fire: Fire, kinds: Iterable[str]) -> None:
    trial = Trial(fire, HOLD)
    try:
        trial.begin()
        for kind in sorted(kinds):
            trial.strike(kind, KINDS[kind].act(trial), KINDS[kind].lasts)
        verdict = trial.finish()
        assert verdict.clean, verdict
        assert trial.problems() == []
    finally:
        trial.close()
        fire.close()
