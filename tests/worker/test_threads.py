"""Threads of the bus: they outlive their failures, and hand nothing to each other that belongs to one."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import sys
import threading
import weakref
from typing import Any

import pytest

import esb
from esb.flow import Flow
from esb.ports import Record
from esb.worker import life
from esb.worker.intake import Intake
from esb.worker.life import Collector, shut_down
from esb.worker.pool import Pool
from esb.worker.thread import Worker
from tests.worker.rig import Rig, order, until


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Python could not raise: an object of the expression engine dropped on another thread is one."""
    seen: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda said: seen.append(repr(said.exc_value)))
    return seen


def on_thread(act: Any) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def run(flow: Flow) -> None:
    for number in range(20):
        flow.run(order(number, items=[{"sku": "x"}, {"sku": "7"}]))


STEPS = {
    "a part fails": "{split: {each: items, do: [{map: {set: {n: $number(sku)}}}, {send: target.put}]}}",
    "parts fail together": "{split: {each: items, together: true, do: [{map: {set: {n: $number(sku)}}}]}}",
    "a mapping fails": "{map: {set: {n: $number(key)}}}",
    "a condition fails": "{filter: key}",
    "a call fails": "{filter: '$count($number(key)) > 0'}",
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_a_failure_leaves_nothing_to_other_threads(rig: Rig, unraisable: list[str], steps: str) -> None:
    """Flows fail on one thread, another collects the garbage: no engine object is among it."""
    rig.write("flows/main.yaml", f"flow: main\nfrom: source\nsteps: [{steps}]\n")
    flow = rig.bus().context.flows["main"]
    gc.collect()
    gc.disable()
    try:
        on_thread(lambda: run(flow))
        gc.collect()
    finally:
        gc.enable()
    assert unraisable == []


def test_arrivals_that_fail_leave_nothing_to_other_threads(rig: Rig, unraisable: list[str]) -> None:
    """The error is told on another thread than the one that checked."""
    rig.write("contracts/order/v1.json", '{"type": "object", "properties": {"key": {}}, "x-subject": "$number(key)"}')
    intake: Intake = rig.bus().intakes()["source"]
    kept: list[Any] = []
    gc.disable()
    try:
        on_thread(lambda: kept.extend(intake.admit(Record(1, {"key": "x"}), id=str(n), time=1.0) for n in range(20)))
        assert {admitted.error.kind for admitted in kept} == {"expression"}
        kept.clear()
        gc.collect()
    finally:
        gc.enable()
    assert unraisable == []


class Stumbling(Worker):
    """Fails a few times, each time in another way."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__("stumbling")
        self.errors = list(errors)
        self.rounds = self.recovered = 0
        self.finished = False

    def cycle(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.rounds += 1
        self.stopping.wait(0.01)

    def recover(self) -> None:
        self.recovered += 1
        raise OSError("not even that works")

    def finish(self) -> None:
        self.finished = True


def test_a_worker_outlives_whatever_is_raised() -> None:
    """Errors, bugs, panics, a stray sys.exit; also when recovering fails."""
    worker = Stumbling(OSError("gone"), ZeroDivisionError("bug"), SystemExit(1), BaseException("panic"))
    worker.start()
    until(lambda: worker.rounds > 2, "it works again")
    worker.stop()
    worker.join(5)
    assert (worker.recovered, worker.finished, worker.is_alive()) == (4, True, False)


def test_a_pool_runs_what_it_is_given_on_as_many_threads_as_it_may() -> None:
    """No more; and they end when it is closed."""
    gate, running = threading.Event(), []
    pool = Pool(2, "pool")
    for _ in range(5):
        pool.submit(lambda: (running.append(1), gate.wait(5))[0])
    until(lambda: len(running) == 2, "two are running")
    gate.set()
    until(lambda: len(running) == 5, "all ran")
    pool.close()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("pool ")], "they end")


def test_no_worker_hides_what_a_thread_is_made_of() -> None:
    """`Thread.join` calls its own `_stop`: a worker with another method of such a name could not be ended."""
    for module in pkgutil.walk_packages(esb.__path__, "esb."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    workers, found = [Worker], set[str]()
    for worker in workers:
        workers += worker.__subclasses__()
        found |= {f"{worker.__name__}.{name}" for name in vars(worker).keys() & vars(threading.Thread).keys()}
    assert {name for name in found if not name.endswith(("__", ".run"))} == set()
    assert len(workers) > 5


def test_cycles_go_though_the_collector_looks_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that broke lie in them: a quiet process would keep them for hours."""
    monkeypatch.setattr(life, "COLLECT", 0.01)
    gc.collect()  # what other tests left behind, on this thread, which made it
    gc.disable()
    try:
        one, other = Linked(), Linked()
        one.to, other.to = other, one
        gone = weakref.ref(one)
        del one, other
        collector = Collector()
        collector.start()
        until(lambda: gone() is None, "they are collected")
        shut_down([collector], 5.0)
        assert not collector.is_alive()
    finally:
        gc.enable()


class Linked:
    """Part of a cycle."""

    to: Linked
