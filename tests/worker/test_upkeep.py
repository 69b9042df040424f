"""Timers, probes and replays, whatever dies and however often they are asked for."""

from __future__ import annotations

import msgspec
import pytest

from esb.broker.port import endpoint_queue
from esb.errors import EndpointError
from esb.store import Dispatch, Parked, Timer, Transaction
from esb.worker import replays
from esb.worker.probes import probe
from esb.worker.replays import send_on, work_off
from esb.worker.timers import fire_due
from tests.worker.rig import Dies, Point, Rig, Scripted, order, sweep, upkeep

TARGET = endpoint_queue("target")


def timers(rig: Rig, *numbers: int, due_at: float = 1.0, to: str = TARGET) -> None:
    with rig.last.store.transaction() as t:
        t.timers.add([Timer(id=f"{to} {n}", due_at=due_at, to=to, message=order(n)) for n in numbers])


def park(rig: Rig, count: int) -> list[tuple[str, str]]:
    """So many messages that wait for a person."""
    with rig.last.store.transaction() as t:
        return park_in(t, count)


def park_in(t: Transaction, count: int) -> list[tuple[str, str]]:
    cause = {"place": "flow:main", "queue": "esb.flow.main", "kind": "x", "error": "x"}
    rows = [Parked(message=order(n), **cause) for n in range(count)]
    t.parked.add(rows)
    return [row.key for row in rows]


def outbox(rig: Rig) -> int:
    with rig.last.store.reading() as t:
        return t.outbox.count()


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


# --- replays ------------------------------------------------------------------------------------------------------


def test_a_few_are_sent_on_at_once_and_many_in_pieces(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, with the name of who wanted it at every message."""
    monkeypatch.setattr(replays, "AT_ONCE", 3)
    rig.bus()
    keys = park(rig, 500)
    with rig.last.store.transaction() as t:
        assert send_on(t, keys[:3], "eve").sent == 3
        many = send_on(t, keys, "eve", "mended")
    assert (many.sent, outbox(rig)) == (0, 3)
    assert work_off(upkeep(rig.last)) == 3
    assert work_off(upkeep(rig.last)) == 0
    assert outbox(rig) == 500
    with rig.last.store.reading() as t:
        found = t.replays.get(many.replay)
        assert {entry.reason for entry in t.audit.list(limit=1000)} == {"", "mended"}
    assert found is not None
    assert (found.total, found.seen, found.sent, found.ended_at > 0) == (500, 500, 497, True)


def test_a_death_in_the_middle_of_a_replay_repeats_nothing(rig: Rig) -> None:
    """The piece that was under way is taken up whole."""
    rig.bus()
    keys = park(rig, 700)
    with rig.last.store.transaction() as t:
        send_on(t, keys, "eve")
    with pytest.raises(Dies):
        work_off(upkeep(rig.last, Point("jobs: piece sent on", 2)))
    assert outbox(rig) == 200
    work_off(upkeep(rig.last))
    assert outbox(rig) == 700


def test_a_replay_leaves_room_for_what_is_new(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the outbox is full it rests, and goes on later."""
    monkeypatch.setattr(replays, "FULL", 100)
    rig.bus()
    with rig.last.store.transaction() as t:
        t.outbox.add([Dispatch(message=order(n), to="esb.endpoint.gone") for n in range(100)])
        send_on(t, park_in(t, 600), "eve")
    assert work_off(upkeep(rig.last)) == 0
    with rig.last.store.transaction() as t:
        t.connection.run("DELETE FROM outbox")
    assert work_off(upkeep(rig.last)) == 1
