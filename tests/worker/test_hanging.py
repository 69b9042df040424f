"""One system hangs: each call to it takes as long as it may. Nobody else waits for it."""

from __future__ import annotations

import threading

import pytest

from esb.worker.life import shut_down
from tests.worker.rig import Rig, feed, order, until

ENDPOINT = """\
endpoint: {name}
adapter: scripted
concurrency: 4
timeout: 30s
operations: {{put: {{effect: keyed}}}}
"""
MESSAGES = 60  # many times as many as one endpoint may have under way, and has prefetched


@pytest.mark.parametrize("where", ["rig", "server_rig"])
def test_an_endpoint_that_hangs_holds_up_no_other(where: str, request: pytest.FixtureRequest) -> None:
    """Every message goes to both from one flow in one process: one gets them all while the other has ended none."""
    rig: Rig = request.getfixturevalue(where)
    for name in ("target", "other"):
        rig.write(f"endpoints/{name}.yaml", ENDPOINT.format(name=name))
    rig.write("flows/main.yaml", "flow: main\nfrom: source\nsteps: [{send: target.put}, {send: other.put}]\n")
    answer = threading.Event()
    rig.outside("target").script = lambda request: answer.wait(30) and None
    bus = rig.bus()
    feed(bus, *map(order, range(MESSAGES)))
    workers = bus.workers()
    for worker in workers:
        worker.start()
    try:
        until(lambda: len(rig.outside("other").sent) == MESSAGES, "the other has all of its messages")
        assert rig.outside("target").numbers() == []
        assert len(rig.outside("target").calls) == 4
        answer.set()
        until(lambda: len(rig.outside("target").sent) == MESSAGES, "what was held up has come, too")
    finally:
        answer.set()
        shut_down(workers, 5)
