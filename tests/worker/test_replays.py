"""Replays: parked messages sent on again, many at once or in careful steps, whatever dies meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from esb.errors import Refused, Unreachable
from esb.ports import Request
from esb.store import Dispatch, Parked, Plan, Replay, Transaction
from esb.worker import replays
from esb.worker.replays import NotPossible, act_on, plan_of, send_on, work_off
from esb.worker.upkeep import Upkeep
from tests.worker.rig import Dies, Point, Rig, drive, endpoint_worker, feed, flow_worker, order, send, sweep, upkeep


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
    assert (found.total, found.seen, found.sent, found.state) == (500, 500, 497, "done")


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


# --- plans --------------------------------------------------------------------------------------------------------


def test_steps_are_written_as_people_do() -> None:
    """With commas or blanks; the last number goes for all further steps, and none is more than what is left."""
    plan = plan_of(" 1, 5 20,100 ", 2.5, 0)
    assert plan == Plan((1, 5, 20, 100), 2.5, 0)
    assert [plan.size(step, 1000) for step in (1, 2, 3, 4, 5, 9)] == [1, 5, 20, 100, 100, 100]
    assert plan.size(4, 7) == 7
    assert plan_of("", 0, -1).size(1, 1000) == 1000


@pytest.mark.parametrize(
    ("steps", "rate", "tolerate"),
    [("1, x", 0, 0), ("0", 0, 0), ("-1", 0, 0), ("10001", 0, 0), ("1 " * 21, 0, 0), ("1", -1, 0), ("", 0, 0)],
)
def test_a_plan_that_makes_no_sense_is_refused(steps: str, rate: float, tolerate: int) -> None:
    """With a sentence for whoever wrote it."""
    with pytest.raises(ValueError, match=r"step|rate"):
        plan_of(steps, rate, tolerate)


# --- in steps -----------------------------------------------------------------------------------------------------


class Careful:
    """Messages that an endpoint refused are replayed in steps: a bus driven by hand, and a clock that does not move."""

    def __init__(self, rig: Rig, count: int, family: str = "") -> None:
        self.rig = rig
        self.now = 5000.0
        bus = rig.bus()
        self.worker = endpoint_worker(bus)
        self.outside = rig.outside("target")
        self.bad: set[int] = set(range(count))
        self.outside.script = self.script
        batch = [order(number) for number in range(count)]
        send(bus, *(msgspec.structs.replace(one, correlation_id=family or one.id) for one in batch))
        drive(self.worker, lambda: len(rig.parked()) == count, "all are parked")
        self.bad.clear()
        self.outside.calls.clear()

    def script(self, request: Request) -> None:
        if request.document["number"] in self.bad:
            raise Refused("not that one")

    def start(self, plan: Plan) -> None:
        with self.rig.last.store.transaction() as t:
            self.id = t.replays.start([row.key for row in t.parked.list(limit=10**6)], "eve", "mended", plan)

    def upkeep(self, point: Point | None = None) -> Upkeep:
        one = upkeep(self.rig.last, point) if point else upkeep(self.rig.last)
        return msgspec.structs.replace(one, clock=lambda: self.now)

    def look(self, seconds: float = 1.0) -> int:
        """Time passes, the job runs; how many portions it sent on."""
        self.now += seconds
        return work_off(self.upkeep())

    def deliver(self) -> None:
        """What was sent on arrives at the endpoint, and comes to its end."""
        sweep(self.rig.last)
        drive(self.worker, lambda: self.rig.left("esb.endpoint.target") == 0, "the queue is empty")

    def steps(self) -> Iterator[int]:
        """Until it does not go on: how many messages each step sent on."""
        for _ in range(100):
            before = self.replay.seen
            if self.look():
                yield self.replay.seen - before
            elif self.replay.state != "running":
                return
            self.deliver()
        raise AssertionError(f"it never ended: {self.replay}")

    @property
    def replay(self) -> Replay:
        with self.rig.last.store.reading() as t:
            found = t.replays.get(self.id)
        assert found is not None
        return found

    def act(self, act: replays.Act) -> Replay:
        with self.rig.last.store.transaction() as t:
            return act_on(t, self.id, act, self.now, "eve", "a reason")

    def calls(self) -> Counter[int]:
        return Counter(request.document["number"] for request in self.outside.calls)


def test_a_careful_replay_goes_in_growing_steps(rig: Rig) -> None:
    """One, then three, then ten at a time; each message once, and the end is said."""
    careful = Careful(rig, 30)
    careful.start(Plan((1, 3, 10), tolerate=0))
    assert list(careful.steps()) == [1, 3, 10, 10, 6]
    assert careful.calls() == Counter(range(30))
    assert (careful.replay.state, careful.replay.sent, careful.replay.failed) == ("done", 30, 0)
    assert rig.parked() == []


def test_a_step_waits_for_what_came_of_the_last(rig: Rig) -> None:
    """While its messages are on their way, or wait for another try, nothing more is sent on; and it says so."""
    careful = Careful(rig, 5)
    careful.start(Plan((2,), tolerate=0))
    assert careful.look() == 1
    assert [careful.look() for _ in range(5)] == [0] * 5  # they lie in the outbox, and then in the queue
    assert "under way: 2" in careful.replay.note
    careful.outside.script = lambda request: (_ for _ in ()).throw(Unreachable("no route"))
    sweep(rig.last)
    drive(careful.worker, lambda: len(careful.outside.calls) >= 4, "they are tried and put off")
    assert [careful.look() for _ in range(3)] == [0, 0, 0]
    careful.outside.script = careful.script
    careful.deliver()
    assert [careful.look() for _ in range(2)] == [0, 1]


@pytest.mark.parametrize(("tolerate", "sent"), [(0, 4), (2, 14), (-1, 30)])
def test_it_stops_when_too_many_fail_again(rig: Rig, tolerate: int, sent: int) -> None:
    """Of the messages that were sent on; with how many, and why, for the person it waits for."""
    careful = Careful(rig, 30)
    careful.bad = {1, 12, 13}  # in the second step one, in the third two
    careful.start(Plan((1, 3, 10), tolerate=tolerate))
    list(careful.steps())
    assert careful.replay.sent == sent
    if tolerate < 0:
        assert (careful.replay.state, careful.replay.failed, len(rig.parked())) == ("done", 3, 3)
        return
    assert (careful.replay.state, careful.replay.failed) == ("stopped", tolerate + 1)
    assert f"{tolerate + 1} failed again" in careful.replay.note
    assert careful.look(600.0) == 0
    assert len(rig.parked()) == 30 - sent + careful.replay.failed


def test_what_failed_is_forgiven_when_it_is_resumed(rig: Rig) -> None:
    """It goes on with those that it has not sent on; those that failed again stay parked."""
    careful = Careful(rig, 30)
    careful.bad = {1}
    careful.start(Plan((1, 3, 10), tolerate=0))
    list(careful.steps())
    assert careful.act("resume").state == "running"
    assert list(careful.steps()) == [10, 10, 6]
    assert careful.calls() == Counter(range(30))
    assert [row.message.id for row in rig.parked()] == ["order-1"]


def test_what_fails_farther_on_counts_too(rig: Rig) -> None:
    """The message got through the flow that it was parked at; what the flow sent is refused."""
    failing = "map: {set: {number: $number(key)}}"
    rig.write("flows/main.yaml", f"flow: main\nfrom: source\nsteps:\n- {failing}\n- send: target.put\n")
    bus = rig.bus()
    feed(bus, *(order(n, key="x") for n in range(6)))
    drive(flow_worker(bus), lambda: len(rig.parked()) == 6, "a mapping fails")
    rig.write("flows/main.yaml", "flow: main\nfrom: source\nsteps:\n- send: target.put\n")
    bus = rig.bus()
    flows, worker = flow_worker(bus), endpoint_worker(bus)
    rig.outside("target").script = lambda request: (_ for _ in ()).throw(Refused("never"))
    now = [5000.0]
    with bus.store.transaction() as t:
        id = t.replays.start([row.key for row in t.parked.list()], "eve", "", Plan((1, 5), tolerate=0))
    jobs = msgspec.structs.replace(upkeep(bus), clock=lambda: now[0])
    for _ in range(10):
        now[0] += 1.0
        work_off(jobs)
        sweep(bus)
        for _ in range(3):
            flows.cycle()
            worker.cycle()
    with bus.store.reading() as t:
        found = t.replays.get(id)
    assert found is not None
    assert (found.state, found.sent, found.failed) == ("stopped", 1, 1)


def test_old_failures_of_the_same_family_are_not_new(rig: Rig) -> None:
    """A sibling that lies parked since before does not stop it."""
    careful = Careful(rig, 2, family="one")
    with rig.last.store.transaction() as t:
        keys = [row.key for row in t.parked.list()]
        careful.id = t.replays.start(keys[:1], "eve", "", Plan((1,), tolerate=0))
    assert list(careful.steps()) == [1]
    assert careful.replay.state == "done"


def test_a_rate_is_kept(rig: Rig) -> None:
    """At most so many a second, also where that is less than one; a step is sent on over several seconds."""
    careful = Careful(rig, 30)
    careful.start(Plan((), rate=4.0))
    assert [careful.look() for _ in range(4)] == [1, 1, 1, 1]
    assert careful.replay.seen == 16
    assert careful.look(0.5) == 0
    assert careful.look(0.5) == 1
    careful.act("cancel")
    careful.start(Plan((10,), rate=0.5))
    assert [careful.look() for _ in range(4)] == [1, 0, 1, 0]
    assert careful.replay.seen == 2


def test_it_rests_while_it_is_paused(rig: Rig) -> None:
    """Whatever was sent on goes its way; resumed, it goes on where it was."""
    careful = Careful(rig, 10)
    careful.start(Plan((2, 8), tolerate=0))
    careful.look()
    careful.act("pause")
    careful.deliver()
    assert [careful.look() for _ in range(5)] == [0] * 5
    assert (careful.replay.state, careful.calls()) == ("paused", Counter(range(2)))
    careful.act("resume")
    assert list(careful.steps()) == [8]
    assert careful.calls() == Counter(range(10))


def test_a_step_can_be_begun_by_hand(rig: Rig) -> None:
    """Somebody knows that what is still under way does not matter."""
    careful = Careful(rig, 10)
    careful.start(Plan((2, 8), tolerate=0))
    assert [careful.look(), careful.look()] == [1, 0]
    careful.act("next")
    assert careful.look() == 1
    assert careful.replay.seen == 10


def test_what_a_cancelled_replay_has_left_stays_parked(rig: Rig) -> None:
    """And nothing can be done about a replay that is over."""
    careful = Careful(rig, 10)
    careful.start(Plan((2, 8), tolerate=0))
    careful.look()
    careful.act("cancel")
    careful.deliver()
    assert careful.look() == 0
    assert (careful.replay.state, len(rig.parked())) == ("cancelled", 8)
    for act in ("pause", "resume", "next", "cancel"):
        with pytest.raises(NotPossible):
            careful.act(act)  # type: ignore[arg-type]
    with rig.last.store.reading() as t:
        assert [entry.act for entry in t.audit.list(f"replay:{careful.id}")] == ["cancel replay"]
        assert t.connection.row("SELECT count(*) FROM replay_pieces")[0] == 0


@pytest.mark.parametrize("visit", [1, 2, 3, 4])
def test_a_careful_replay_goes_on_after_a_death(rig: Rig, visit: int) -> None:
    """Within the transaction of any portion or look: nothing of it has happened; each message is sent on once."""
    careful = Careful(rig, 12)
    careful.start(Plan((1, 4), tolerate=0))
    point = Point("jobs: piece sent on", visit)
    with pytest.raises(Dies):
        for _ in range(20):
            careful.now += 1.0
            work_off(careful.upkeep(point))
            careful.deliver()
    assert sum(careful.steps()) + sum(careful.calls().values()) >= 12
    assert careful.calls() == Counter(range(12))
    assert careful.replay.state == "done"
