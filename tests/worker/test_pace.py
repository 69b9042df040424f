"""How many messages a worker takes at a time."""

from __future__ import annotations

from typing import Any

import pytest

from esb.broker.port import flow_queue
from esb.worker.pace import Pace
from tests.worker.rig import Rig, drive, feed, flow_worker, order


def batches(pace: Pace, each: float, rounds: int) -> list[int]:
    """What is taken round by round, when a message takes ``each`` seconds and there are always enough."""
    taken = []
    for _ in range(rounds):
        taken.append(pace.batch)
        pace.took(pace.batch, pace.batch * each)
    return taken


def test_quick_messages_soon_go_in_batches_of_the_most() -> None:
    """The first is small, since nothing is known yet; each is twice as large as the one before."""
    assert batches(Pace(150), 0.0001, 6) == [16, 32, 64, 128, 150, 150]


def test_slow_messages_go_a_few_at_a_time() -> None:
    """So many that a batch takes half a second; one that takes longer goes by itself."""
    assert batches(Pace(150), 0.05, 3) == [16, 10, 10]
    assert batches(Pace(150), 60.0, 3) == [16, 1, 1]


def test_it_gets_faster_again_when_messages_are_quick() -> None:
    """Having been slow leaves nothing behind."""
    pace = Pace(150)
    pace.took(150, 600.0)
    assert batches(pace, 0.0, 10) == [1, 2, 4, 8, 16, 32, 64, 128, 150, 150]


@pytest.mark.parametrize("most", [1, 5])
def test_a_small_most_is_kept(most: int) -> None:
    """What is configured is the limit from the first batch on."""
    assert batches(Pace(most), 0.0, 3) == [most] * 3


def test_a_trickle_of_messages_does_not_keep_batches_small() -> None:
    """One quick message at a time says that many would be quick."""
    pace = Pace(150)
    for _ in range(5):
        pace.took(1, 0.001)
    assert pace.batch == 150


def taken_by(rig: Rig, count: int) -> list[int]:
    """How many messages a flow worker takes each time, of so many that wait."""
    bus = rig.bus()
    feed(bus, *map(order, range(count)))
    worker = flow_worker(bus)
    consumer: Any = worker._consumer
    take, taken = consumer.take, list[int]()

    def watched(limit: int, timeout: float) -> Any:
        found = take(limit, timeout)
        taken.append(len(found))
        return found

    consumer.take = watched
    drive(worker, lambda: rig.left(flow_queue("main")) == 0, "all are through")
    return [number for number in taken if number]


def test_a_flow_worker_takes_more_and_more_of_what_is_quick(rig: Rig) -> None:
    """Up to what is configured, and all of it gets through."""
    assert taken_by(rig, 100) == [16, 32, 52]


def test_a_flow_worker_takes_what_is_slow_one_by_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first batch it knows that one message takes all the time there is."""
    monkeypatch.setattr("esb.worker.pace.MOMENT", 1e-9)
    assert taken_by(rig, 20) == [16, 1, 1, 1, 1]
