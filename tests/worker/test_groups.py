"""Stateful steps with real broker and store: groups, order, answers, time, and deaths at each point."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest

from esb.message import Message
from esb.store import Status
from esb.testing.faults import GROUP_POINTS
from esb.worker import endpoint, flow
from esb.worker.context import pass_by
from esb.worker.flow import FlowWorker
from tests.worker.groups import Running, ask
from tests.worker.rig import Dies, Point, Rig, feed, order, until

AGGREGATE = """\
flow: main
from: source
steps:
  - aggregate: {by: batch, size: of, timeout: 10m}
  - set: {number: '$sum(members.number)'}
  - send: target.put
"""
RESEQUENCE = """\
flow: main
from: source
steps:
  - resequence: {number: number, timeout: 10m}
  - send: target.put
"""
GATHER = """\
flow: main
from: source
steps:
  - gather: {ask: [a.quote, b.quote, c.quote], as: best, best: {lowest: price}, timeout: 10m, least: 2}
  - set: {number: best.answer.price}
  - send: target.put
"""


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    made: Rig = request.getfixturevalue("server_rig") if request.param == "servers" else Rig(tmp_path)
    yield made
    if request.param == "embedded":
        made.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many turns, most of them without anything to do."""
    for module in (endpoint, flow):
        monkeypatch.setattr(module, "TAKE", 0.001)


def members(*numbers: int, of: int = 3, batch: str = "x") -> list[Message]:
    return [order(n, batch=batch, of=of) for n in numbers]


def test_members_become_one(rig: Rig) -> None:
    """When all are there, in the order they came; each of them is done, and one message is sent."""
    running = Running(rig, AGGREGATE)
    feed(running.bus, *members(1, 2, 3))
    running.sends(6)
    assert [running.hop(f"order-{n}").status for n in (1, 2, 3)] == [Status.COMPLETED] * 3
    assert running.groups() == []
    (group,) = running.groups(waiting=False)
    assert (group.key, group.size, group.reason) == ("x", 3, "complete")
    assert running.hop(group.id).status is Status.COMPLETED
    assert rig.ledger().settled


def test_they_go_on_in_order(rig: Rig) -> None:
    """Whatever order they come in."""
    running = Running(rig, RESEQUENCE)
    for number in (3, 1, 5, 4, 2):
        feed(running.bus, order(number))
        running.rests()
    running.sends(1, 2, 3, 4, 5)


def test_the_best_answer_is_kept(rig: Rig) -> None:
    """All are asked, one fails, and the message goes on once with the lowest price."""
    ask(rig, a=7, b=None, c=5)
    running = Running(rig, GATHER)
    feed(running.bus, order(1))
    running.sends(5)
    assert running.hop("order-1").status is Status.COMPLETED
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.rejected) == (4, 3, 1)


POINTS = (*GROUP_POINTS, "flow: published", "flow: tracked", "flow: settled")
CALLED = ("endpoint: recorded", "endpoint: replied")


def test_a_death_between_any_two_members_leads_to_one(hasty: None, tmp_path: Path) -> None:
    """Before and behind each commit, before and behind what goes out: the sum is right, and sent once."""
    fire = Fire(tmp_path, AGGREGATE)
    for round in fire.rounds(POINTS, visits=2):
        fire.burn(members(*[10 * round + n for n in (1, 2, 3)], batch=f"b{round}"), [30 * round + 6])
    assert fire.deaths > len(POINTS)


def test_a_death_between_any_two_numbers_keeps_their_order(hasty: None, tmp_path: Path) -> None:
    """Each is sent once, and none before those in front of it."""
    fire = Fire(tmp_path, RESEQUENCE.replace("number: number", "number: place, by: batch"))
    for round in fire.rounds(POINTS, visits=3):
        messages = [order(10 * round + n, place=n, batch=f"b{round}") for n in (2, 3, 1, 4)]
        fire.burn(messages, [10 * round + n for n in (1, 2, 3, 4)])
    assert fire.deaths > len(POINTS)


def test_a_death_between_any_two_answers_leads_to_one(hasty: None, tmp_path: Path) -> None:
    """Each system is asked for one effect, and the best is sent once."""
    fire = Fire(tmp_path, GATHER.replace("number: best.answer.price", "number: number + best.answer.price"))
    ask(fire.rig, a=7, b=None, c=5)
    for round in fire.rounds((*POINTS, *CALLED), visits=2):
        fire.burn([order(10 * round)], [10 * round + 5])
        assert [len({r.key for r in fire.rig.outside(name).sent}) for name in "ac"] == [round, round]
    assert fire.deaths > len(POINTS)


class Fire:
    """Messages one after the other, a death on the way, and another process that does what is left; again and again."""

    def __init__(self, root: Path, flow: str) -> None:
        self.rig = Rig(root)
        self.deaths = 0
        self._flow = flow
        self._point: Callable[[str], None] = pass_by
        self._expected: list[int] = []

    def rounds(self, points: Sequence[str], visits: int) -> Iterator[int]:
        for number, (point, visit) in enumerate(product(points, range(1, visits + 1)), 1):
            self._point = Point(point, visit)
            yield number
        self.rig.close()

    def burn(self, messages: Sequence[Message], expected: Sequence[int]) -> None:
        running = Running(self.rig, self._flow, self._point, prepare=not self.rig.has_bus)
        for message in messages:
            feed(running.bus, message)
            try:
                running.rests()
            except Dies:
                self.deaths += 1
                running.close()
                running = Running(self.rig, prepare=False)
        self._expected += expected
        running.sends(*self._expected)
        assert self.rig.parked() == [] and running.groups() == []
        assert {running.hop(message.id).status for message in messages} == {Status.COMPLETED}
        running.close()


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_two_processes_share_the_work(server_rig: Rig) -> None:
    """Members of a group, and numbers of a sequence, come to both: each group ends once, each sequence is in order."""
    server_rig.write("flows/sums.yaml", AGGREGATE.replace("flow: main", "flow: sums"))
    running = Running(server_rig, RESEQUENCE.replace("number: number", "number: place, by: batch"))
    other = FlowWorker(server_rig.bus(prepare=False).context, "other")
    groups, size = 12, 5
    feed(running.bus, *shuffled(order(n, batch=f"g{n % groups}", of=size) for n in range(groups * size)), flow="sums")
    places = [order(1000 + 10 * s + p, place=p, batch=f"s{s}") for s in range(6) for p in range(1, 7)]
    feed(running.bus, *shuffled(places))
    workers = (running.flow, other, *running.endpoints)
    for worker in workers:
        worker.start()
    until(lambda: len(server_rig.outside("target").sent) >= groups + len(places), "all are sent", 60.0)
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join()
    numbers = server_rig.outside("target").numbers()
    assert sorted(n for n in numbers if n < 1000) == sorted(
        sum(n for n in range(groups * size) if n % groups == group) for group in range(groups)
    )
    for sequence in range(6):
        assert [n for n in numbers if (n - 1000) // 10 == sequence] == [1000 + 10 * sequence + p for p in range(1, 7)]
    assert server_rig.parked() == []


def shuffled(messages: Iterable[Message]) -> list[Message]:
    mixed = list(messages)
    random.Random(4711).shuffle(mixed)
    return mixed


def test_what_the_broker_does_not_take_lets_those_behind_it_pass(narrow_rig: Rig) -> None:
    """It grew before its turn came, and is parked when it is to go on."""
    running = Running(narrow_rig, RESEQUENCE.replace("steps:", "steps:\n  - set: {long: key & key}"))
    feed(running.bus, order(2), order(1, key="x" * 60_000), order(3))
    running.sends(2, 3)
    (row,) = narrow_rig.parked()
    assert (row.message.id, row.place) == ("order-1", "flow:main")
