"""Which queues there are, also in a landscape of many flows and endpoints."""

from __future__ import annotations

import pytest

from esb.config.definition import LoadedFlow
from esb.worker import queues
from esb.worker.queues import lined_up, queues_to
from tests.worker.rig import ORDER, Rig

MANY = 30


@pytest.fixture
def rig(embedded_rig: Rig) -> Rig:
    """As many flows as endpoints; two of the flows keep an order."""
    assert "key" in ORDER["properties"]
    for number in range(MANY):
        ordering = "ordering: key" if number in (7, 23) else ""
        embedded_rig.write(
            f"endpoints/at{number}.yaml",
            f"{{endpoint: at{number}, adapter: scripted, operations: {{put: {{effect: keyed}}}}}}",
        )
        embedded_rig.write(
            f"flows/to{number}.yaml",
            f"flow: to{number}\nfrom: source\n{ordering}\nsteps:\n  - send: at{number}.put\n",
        )
    return embedded_rig


def test_flows_are_asked_once_where_they_send_to(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each endpoint: a bus with hundreds of both would take minutes to start."""
    asked: list[str] = []

    def counting(flow: LoadedFlow) -> set[str]:
        asked.append(flow.name)
        return targets(flow)

    targets = queues.targets
    monkeypatch.setattr(queues, "targets", counting)
    bus = rig.bus()
    bus.workers()
    assert lined_up(bus.definition) == ["at23", "at7"]
    assert [len(queues_to(bus.definition, f"at{n}")) > 1 for n in range(MANY)] == [n in (7, 23) for n in range(MANY)]
    assert sorted(asked) == ["to23", "to7"]
