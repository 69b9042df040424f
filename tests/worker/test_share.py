"""Several bus processes of a machine share what has a limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from esb.bus import Bus
from esb.config import load
from esb.worker.share import Share
from tests.worker.rig import COMPONENTS, Rig


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("limit", [1, 2, 4, 16, 17])
def test_all_of_them_have_exactly_the_limit(count: int, limit: int) -> None:
    """And nobody has two more than another."""
    shares = [Share(number, count).of("warehouse", limit) for number in range(count)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


def test_small_limits_fall_to_different_processes() -> None:
    """Forty systems that take one call at a time do not all lie with the first process."""
    names = [f"system-{n}" for n in range(40)]
    loads = [sum(Share(number, 4).of(name, 1) for name in names) for number in range(4)]
    assert min(loads) >= 4


def test_a_process_serves_the_endpoints_that_fall_to_it(rig: Rig) -> None:
    """With its part of their concurrency; one call at a time is one process's."""
    path = Path(rig.root, "endpoints/target.yaml")
    path.write_text(path.read_text().replace("concurrency: 4", "concurrency: 3"))
    rig.write("endpoints/lonely.yaml", "endpoint: lonely\nadapter: scripted\nconcurrency: 1\noperations: {put: {}}\n")
    definition = load(rig.root, COMPONENTS, environ={})
    served = []
    for number in range(2):
        bus = Bus(definition, COMPONENTS, share=Share(number, 2))
        served.append({endpoint.name: endpoint.concurrency for endpoint in bus.served()})
        bus.close()
    assert sorted(one.get("lonely", 0) for one in served) == [0, 1]
    assert sorted(one["target"] for one in served) == [1, 2]


def test_processes_share_the_retries_of_a_quiet_endpoint(rig: Rig) -> None:
    """Ten in the window, whatever number of them runs on the machine."""
    served = [rig.bus(share=Share(number, 3)).served() for number in range(3)]
    assert sum(endpoint.recovery.budget.least for endpoints in served for endpoint in endpoints) == 10
