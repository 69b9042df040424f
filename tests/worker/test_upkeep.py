"""Timers and probes, whatever dies and however often they are asked for."""

from __future__ import annotations

import msgspec
import pytest

from esb.broker.port import endpoint_queue
from esb.errors import EndpointError
from esb.store import Timer
from esb.worker.probes import probe
from esb.worker.timers import fire_due
from tests.worker.rig import Dies, Point, Rig, Scripted, order, sweep, upkeep

TARGET = endpoint_queue("target")


def timers(rig: Rig, *numbers: int, due_at: float = 1.0, to: str = TARGET) -> None:
    with rig.last.store.transaction() as t:
        t.timers.add([Timer(id=f"{to} {n}", due_at=due_at, to=to, message=order(n)) for n in numbers])


# --- timers -------------------------------------------------------------------------------------------------------


def test_a_timer_fires_when_it_is_due_and_once(rig: Rig) -> None:
    """What is not due stays; asked again, nothing more comes."""
    rig.bus()
    timers(rig, 1, 2)
    timers(rig, 3, due_at=9e12)
    assert fire_due(upkeep(rig.last)) == 2
    assert fire_due(upkeep(rig.last)) == 0
    sweep(rig.last)
    assert rig.depth(TARGET) == 2
    with rig.last.store.reading() as t:
        assert t.timers.next_due() == 9e12


def test_more_timers_than_a_batch_all_fire(rig: Rig) -> None:
    """In one go."""
    rig.bus()
    timers(rig, *range(450))
    assert fire_due(upkeep(rig.last)) == 450


def test_a_death_while_timers_fire_loses_and_doubles_none(rig: Rig) -> None:
    """Message and timer change places in one commit."""
    rig.bus()
    timers(rig, 1)
    with pytest.raises(Dies):
        fire_due(upkeep(rig.last, Point("jobs: timers moved")))
    sweep(rig.last)
    assert rig.depth(TARGET) == 1


# --- probes -------------------------------------------------------------------------------------------------------


class Broken(Scripted):
    """An adapter of somebody else's that is at fault."""

    def check(self) -> str:
        raise KeyError("answer")


class Unreachable(Scripted):
    """A system that is not there."""

    def check(self) -> str:
        raise EndpointError("no route to host")


class Well(Scripted):
    """A system that is."""

    def check(self) -> str:
        return "well"


def test_each_endpoint_says_how_it_is(rig: Rig) -> None:
    """One that fails, and one whose adapter is at fault, silence no other."""
    rig.write("endpoints/more.yaml", "endpoint: more\nadapter: scripted\noperations: {put: {effect: keyed}}\n")
    rig.bus()
    kinds = {"source": Well, "target": Unreachable, "more": Broken}
    work = msgspec.structs.replace(upkeep(rig.last), adapter=lambda name: kinds[name](name, None))
    assert probe(work) == 2
    with rig.last.store.reading() as t:
        found = t.probes.all()
    assert {name: (p.ok, p.text) for name, p in found.items()} == {
        "source": (True, "well"),
        "target": (False, "no route to host"),
        "more": (False, "KeyError: 'answer'"),
    }
    assert all(p.ms >= 0 for p in found.values())
