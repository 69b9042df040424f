"""What people set reaches the workers of a process that runs."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from esb.errors import StoreDown
from esb.store import Status
from esb.worker.noticeboard import Noticeboard
from tests.worker.rig import Rig, drive, feed, flow_worker, order, store_down

FLOW = "flow:main"
ROUTING = """\
    flow: main
    from: source
    steps:
      - route:
          by: key
          table: goods
          rows: {no-1: put, no-2: put}
          among: {put: target.put, both: [target.put, target.shoot]}
      - detour: {send: target.shoot}
        name: check
    """


class Clock:
    """Moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_store_is_asked_at_most_once_a_second(rig: Rig) -> None:
    """And while it is down, what it said last holds."""
    bus, clock = rig.bus(), Clock()
    board = Noticeboard(bus.store, clock)
    assert board.now().switches.tables == {}
    with bus.store.transaction() as t:
        t.switches.set("table", "goods", {"A": "shoot"}, "eve")
        t.switches.set("throttle", "main", {"slow": "5/1s", "odd": "often"}, "eve")
        t.switches.set("detour", "main", {"check": "on", "other": "off"}, "eve")
        t.switches.set("flow", "main", {"": "paused"}, "eve")
    assert board.now().switches.tables == {}
    clock.now += 1
    now = board.now().switches
    assert (now.tables, now.detours) == ({"goods": {"A": "shoot"}}, {"main/check": True, "main/other": False})
    assert ({step: str(rate) for step, rate in now.rates.items()}, now.paused) == ({"main/slow": "5/1s"}, {"main"})
    clock.now += 1
    assert board.now().switches is now
    clock.now += 1
    with store_down(bus):
        assert board.now().switches is now


def test_who_looks_while_the_first_still_reads_waits_for_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs at the start that somebody has paused."""
    bus = rig.bus()
    with bus.store.transaction() as t:
        t.pauses.pause("target", "ops")
    board, entered, go_on = Noticeboard(bus.store, Clock()), threading.Event(), threading.Event()
    reading = bus.store.reading

    def slow() -> Any:
        entered.set()
        go_on.wait(10)
        return reading()

    monkeypatch.setattr(bus.store, "reading", slow)
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(list(board.now().paused))) for _ in range(2)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    threads[1].join(0.2)  # whoever does not wait is through by then
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert seen == [["target"], ["target"]]


def test_a_table_and_a_detour_hold_for_what_comes_next(rig: Rig) -> None:
    """Without a restart."""
    rig.write("flows/main.yaml", ROUTING)
    bus = rig.bus()
    worker = flow_worker(bus)
    feed(bus, order(1))
    drive(worker, lambda: rig.hop("order-1", FLOW), "the first order is through")
    with bus.store.transaction() as t:
        t.switches.set("table", "goods", {"no-2": "both"}, "eve")
        t.switches.set("detour", "main", {"check": "on"}, "eve")
    bus.context.board.stale()  # a second later
    feed(bus, order(2))
    drive(worker, lambda: rig.hop("order-2", FLOW), "the second order is through")
    assert [rig.hop(id, FLOW).sent for id in ("order-1", "order-2")] == [1, 3]


def test_a_paused_flow_takes_nothing_until_it_is_resumed(rig: Rig) -> None:
    """What waits stays in its queue."""
    bus = rig.bus()
    worker = flow_worker(bus)
    with bus.store.transaction() as t:
        t.switches.set("flow", "main", {"": "paused"}, "eve")
    bus.context.board.stale()
    worker.cycle()
    feed(bus, order(1))
    worker.cycle()
    assert rig.hop("order-1", FLOW) is None
    with bus.store.transaction() as t:
        t.switches.unset("flow", "main", [""], "eve")
    bus.context.board.stale()
    drive(worker, lambda: rig.hop("order-1", FLOW), "the order is through")
    assert rig.hop("order-1", FLOW).status == Status.COMPLETED


def test_a_store_that_is_down_at_the_start_sets_nothing(rig: Rig) -> None:
    """The flow runs as its configuration says."""
    bus = rig.bus()
    with store_down(bus):
        assert Noticeboard(bus.store, Clock()).now().switches.tables == {}
        with pytest.raises(StoreDown), bus.store.transaction():
            pass


def test_a_message_sets_what_it_says_with_its_own_commit(rig: Rig) -> None:
    """Once, however often it comes; audited as an act of the flow."""
    rig.write("flows/main.yaml", "flow: main\nfrom: source\nsteps: [{control: {pause: {flow: main}, why: key}}]\n")
    bus = rig.bus()
    worker = flow_worker(bus)
    feed(bus, order(1), order(1))
    drive(worker, lambda: rig.hop("order-1", FLOW), "the order is through")
    with bus.store.reading() as t:
        acts = [(entry.who, entry.act, entry.target, entry.reason) for entry in t.audit.list()]
        rows = [(row.kind, row.name, row.value) for row in t.switches.all()]
    assert acts == [("flow main", "set flow", "flow:main", "no-1")]
    assert rows == [("flow", "main", "paused")]
