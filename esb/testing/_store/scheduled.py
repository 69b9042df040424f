"""What scheduled and slow work remembers."""

from __future__ import annotations

import msgspec

from esb.store import Plan, Probe, Replay, ScheduleRow, Status, Store, Transaction, Watched
from esb.testing._store.given import hop, parked, race


class ScheduleScenarios:
    """Jobs, and the moments they ran for."""

    def test_a_job_begins_now_and_not_before(self, store: Store) -> None:
        """Another timetable begins anew, and what it ran for is remembered."""
        with store.transaction() as t:
            t.schedules.begin("report", "0 18 * * * UTC", 100.0)
            assert t.schedules.done("report", 90.0, 101.0, "one")
            t.schedules.begin("report", "every 5m", 200.0)
        row = _row(store)
        assert (row.spec, row.base, row.done, row.last, row.note) == ("every 5m", 200.0, 90.0, 200.0, "one")

    def test_of_two_that_hand_it_out_one_does(self, store: Store) -> None:
        """Whoever saw an older state is told."""
        _begin(store)

        def act(name: str) -> bool:
            with store.transaction() as t:
                return t.schedules.hand_out("report", 0.0, 300.0, 301.0)

        assert sorted(race(act).values()) == [False, True]
        assert (_row(store).sent, _row(store).sent_at) == (300.0, 301.0)

    def test_a_moment_is_done_once(self, store: Store) -> None:
        """By two at the same time, again, and for an earlier moment; the one before is known."""
        _begin(store)

        def act(name: str) -> bool:
            with store.transaction() as t:
                return t.schedules.done("report", 300.0, 305.0) is not None

        assert sorted(race(act).values()) == [False, True]
        with store.transaction() as t:
            assert t.schedules.done("report", 200.0, 306.0) is None
            assert t.schedules.done("nobody", 200.0, 306.0) is None
            row = t.schedules.done("report", 400.0, 405.0, "3 rows\0")
        assert row is not None
        assert (row.done, row.done_at, row.previous, row.last) == (400.0, 405.0, 300.0, 400.0)

    def test_a_wish_waits_until_it_is_handed_out(self, store: Store) -> None:
        """Whether the job began before or not, and over its beginning."""
        with store.transaction() as t:
            t.schedules.want("report", 150.0)
        _begin(store)
        assert _row(store).wanted == 150.0
        with store.transaction() as t:
            t.schedules.hand_out("report", 0.0, 160.0, 160.0)
            t.schedules.failed("report", "no route to host")
        assert (_row(store).wanted, _row(store).note) == (0.0, "no route to host")


class ProbeScenarios:
    """Signs of life."""

    def test_the_newest_answer_stands(self, store: Store) -> None:
        """With the time since when it is so; one that comes late changes nothing."""
        for at, ok in ((10.0, True), (20.0, False), (30.0, False), (25.0, True)):
            with store.transaction() as t:
                t.probes.record([Probe("erp", at, ok, "well" if ok else "down\0", 2.5), Probe("pos", at, True, "", 1)])
        with store.reading() as t:
            found = t.probes.all()
        assert (found["erp"].at, found["erp"].ok, found["erp"].since, found["pos"].since) == (30.0, False, 20.0, 10.0)


class ReplayScenarios:
    """Many parked messages, sent on a portion at a time."""

    def test_each_message_is_sent_on_once(self, store: Store) -> None:
        """However often and by how many portions are asked for; what somebody else sent on meanwhile is left."""
        keys = [(f"m{number:04}", "flow:sales") for number in range(450)]
        with store.transaction() as t:
            t.parked.add([parked(id) for id, _ in keys])
            t.tracking.record([hop(id, status=Status.PARKED) for id, _ in keys])
            id = t.replays.start([*keys, keys[0]], "eve", "mended", Plan((1, 5), 2.5, 3))
            t.parked.retry(keys[:3], "adam")
        for _ in range(8):
            race(lambda name: _send(store, id, 70))
        with store.reading() as t:
            found = t.replays.get(id)
            assert found is not None
            assert (found.total, found.seen, found.sent) == (450, 450, 447)
            assert found.plan == Plan((1, 5), 2.5, 3)
            assert t.replays.list() == [found]
            assert t.outbox.count() == 450
            assert len(t.audit.list(limit=1000)) == 450

    def test_a_portion_that_fails_is_not_taken(self, store: Store) -> None:
        """It is there for the next one, with all its messages."""
        with store.transaction() as t:
            t.parked.add([parked("m1")])
            id = t.replays.start([("m1", "flow:sales")], "eve")
        try:
            with store.transaction() as t:
                t.replays.send(_held(t, id), 10)
                raise InterruptedError
        except InterruptedError:
            pass
        assert _send(store, id, 10) == 1
        assert _send(store, id, 10) == 0

    def test_a_replay_of_nothing_is_over(self, store: Store) -> None:
        """It does not stay open for ever."""
        with store.transaction() as t:
            id = t.replays.start([], "eve")
            assert t.replays.open() == []
            assert t.replays.due(1e12) == []
            assert t.replays.send(_held(t, id), 10) == ([], 0)

    def test_only_what_has_something_to_do_is_due(self, store: Store) -> None:
        """Neither what rests for a while nor what is paused, stopped or over."""
        states = (("running", 0.0), ("running", 50.0), ("paused", 0.0), ("stopped", 0.0), ("cancelled", 0.0))
        with store.transaction() as t:
            ids = [t.replays.start([("m1", "flow:sales")], "eve") for _ in states]
            for id, (state, next_at) in zip(ids, states, strict=True):
                ended = 9.0 if state == "cancelled" else 0.0
                t.replays.save(
                    msgspec.structs.replace(_held(t, id), state=state, next_at=next_at, ended_at=ended), Watched()
                )
        with store.reading() as t:
            assert t.replays.due(49.0) == ids[:1]
            assert t.replays.due(50.0) == ids[:2]
            assert [one.id for one in t.replays.open()] == ids[:4]

    def test_a_look_sees_what_moves_and_what_failed(self, store: Store) -> None:
        """Of these families and no others: copies and commands on their way, hops that go on, hops that wait."""
        own = {"correlation_id": "c1"}
        with store.transaction() as t:
            t.tracking.record([
                hop("m1", "in:pos", status=Status.ACCEPTED, sent=3, **own),
                hop("m1", "flow:a", status=Status.COMPLETED, sent=3, **own),
                hop("m1", "flow:b", status=Status.WAITING, sent=1, **own),
                hop("m2", "out:erp", status=Status.COMPLETED, **own),
                hop("m3", "out:erp", status=Status.RETRYING, **own),
                hop("m4", "out:erp", status=Status.PARKED, **own),
                hop("m5", "out:erp", status=Status.PARKED, correlation_id="c2"),
            ])  # fmt: skip
            assert t.replays.families([("m2", "out:erp"), ("m1", "flow:a")]) == ["c1"]
            look = t.replays.look(["c1"])
            assert (look.moving, look.failures, look.in_flight) == (2, 1, 1 + 1)  # a copy, a command
            assert t.replays.look([]) == type(look)(0, 0, 0)


def _begin(store: Store) -> None:
    with store.transaction() as t:
        t.schedules.begin("report", "0 18 * * * UTC", 100.0)


def _row(store: Store) -> ScheduleRow:
    with store.reading() as t:
        return t.schedules.all()["report"]


def _held(t: Transaction, id: str) -> Replay:
    held = t.replays.hold(id)
    assert held is not None
    return held[0]


def _send(store: Store, id: str, most: int) -> int:
    """One portion; how many messages were worked off."""
    with store.transaction() as t:
        replay = _held(t, id)
        sent, seen = t.replays.send(replay, most)
        replay = msgspec.structs.replace(replay, seen=replay.seen + seen, sent=replay.sent + len(sent))
        t.replays.save(replay, Watched())
    return seen
