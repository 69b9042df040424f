"""Small claims go in together: one round to the broker, one commit, one word to the source; else nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from esb.errors import Unreachable
from esb.worker import bundle
from tests.worker.rig import Point, Rig, dies, drive, poller
from tests.worker.test_poller import QUEUE, lapse, lines, small_batches


def portions(worker: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What goes through the door from now on, each time: the numbers in it."""
    seen: list[list[int]] = []
    enter = worker._door.enter

    def noting(batch: Any, *more: Any) -> None:
        seen.append([int(admitted.message.subject.removeprefix("no-")) for admitted in batch])
        enter(batch, *more)

    monkeypatch.setattr(worker._door, "enter", noting)
    return seen


@pytest.fixture
def subjects(rig: Rig) -> None:
    rig.write("contracts/order/v1.json", '{"type": "object", "x-subject": "key"}')


def offer(source: Any, *numbers: int) -> None:
    for number in numbers:
        source.offer(lines(number), f"{number}.jsonl")


@pytest.mark.usefixtures("subjects")
def test_small_things_enter_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty of them in one portion, in their order; the source hears of all at once."""
    source, bus = rig.outside("source"), rig.bus()
    offer(source, *range(20))
    worker = poller(bus)
    seen, told = portions(worker, monkeypatch), []
    done_all = worker._adapter.done_all
    monkeypatch.setattr(worker._adapter, "done_all", lambda claims: (told.append(len(claims)), done_all(claims)))
    drive(worker, lambda: len(source.done) == 20, "done")
    assert seen == [list(range(20))]
    assert told == [20]
    with bus.store.reading() as t:
        assert {(claim.state, claim.position) for claim in t.claims.list()} == {("done", 1)}


@pytest.mark.usefixtures("subjects")
def test_a_large_one_among_small_ones_keeps_its_place(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before it enters before it, and what came after it after it."""
    small_batches(monkeypatch)
    source, bus = rig.outside("source"), rig.bus()
    offer(source, 1)
    source.offer(lines(2, 3, 4), "large.jsonl")
    offer(source, 5, 6, 7)
    worker = poller(bus)
    seen = portions(worker, monkeypatch)
    drive(worker, lambda: len(source.done) == 5, "done")
    assert seen == [[1], [2, 3], [4], [5, 6], [7]]


@pytest.mark.usefixtures("subjects")
def test_many_bytes_do_not_lie_in_memory_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few they are."""
    monkeypatch.setattr(bundle, "FULL", 90)
    source, bus = rig.outside("source"), rig.bus()
    offer(source, *range(6))
    worker = poller(bus)
    seen = portions(worker, monkeypatch)
    drive(worker, lambda: len(source.done) == 6, "done")
    assert [len(some) for some in seen] == [3, 3]


def test_one_that_cannot_be_read_stops_nobody(rig: Rig) -> None:
    """It is rejected with its reason, in its turn, and those around it come in."""
    rig.write("contracts/order/v1.json", "{}")
    rig.write(
        "endpoints/source.yaml",
        """\
        endpoint: source
        adapter: scripted
        format: csv
        receive: {contract: order/v1, poll: 10ms}
        """,
    )
    source, bus = rig.outside("source"), rig.bus()
    for name, content in (("1", b"n\n1\n"), ("2", b"n\n2\n"), ("bad", b"n,n\n1,2\n"), ("3", b"n\n3\n")):
        source.offer(content, name)
    drive(poller(bus), lambda: len(source.done) == 3, "done")
    assert [claim.name for claim, _ in source.rejected] == ["bad"]
    assert (rig.depth(QUEUE), len(rig.parked())) == (3, 1)


def test_the_same_twice_at_once_is_a_duplicate(rig: Rig) -> None:
    """The second of them, as if it had come later."""
    source, bus = rig.outside("source"), rig.bus()
    for name in ("a", "b", "c"):
        source.offer(lines(1 if name != "b" else 2), name)
    drive(poller(bus), lambda: len(source.done) == 3, "done")
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.duplicate, ledger.repeats, rig.depth(QUEUE)) == (3, 1, 1, 2)


@pytest.mark.parametrize("point", ["in: published", "in: tracked", "in: before done"])
def test_a_death_among_many_loses_and_doubles_nothing(rig: Rig, point: str) -> None:
    """The heir finishes what was begun: each record is accepted once, under the id it had."""
    source = rig.outside("source")
    offer(source, *range(5))
    dies(poller(rig.bus(Point(point))))
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: len(source.done) == 5, "done")
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.duplicate, ledger.repeats) == (5, 0, 0)
    assert rig.depth(QUEUE) == (10 if point == "in: published" else 5)
    with bus.store.reading() as t:
        assert t.connection.rows("SELECT count(*) FROM suspects")[0][0] == 0


def test_a_source_that_cannot_be_told_is_told_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in is not read again for it."""
    source, bus = rig.outside("source"), rig.bus()
    offer(source, 1, 2, 3)
    worker = poller(bus)

    def fails(claims: Any) -> None:
        raise Unreachable("source: gone for a moment")

    with monkeypatch.context() as patched:
        patched.setattr(worker._adapter, "done_all", fails)
        worker.cycle()
    assert (source.done, rig.ledger().accepted) == ([], 3)
    drive(worker, lambda: len(source.done) == 3, "done")
    assert (rig.ledger().accepted, rig.depth(QUEUE)) == (3, 3)
