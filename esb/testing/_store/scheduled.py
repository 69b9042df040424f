"""What scheduled and slow work remembers."""

from __future__ import annotations

from esb.store import Probe, ScheduleRow, Status, Store
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
    """Many parked messages, sent on a piece at a time."""

    def test_each_message_is_sent_on_once(self, store: Store) -> None:
        """However often and by how many the steps are asked for; what somebody else sent on meanwhile is left."""
        keys = [(f"m{number:04}", "flow:sales") for number in range(450)]
        with store.transaction() as t:
            t.parked.add([parked(id) for id, _ in keys])
            t.tracking.record([hop(id, status=Status.PARKED) for id, _ in keys])
            id = t.replays.start([*keys, keys[0]], "eve", "mended")
            assert t.replays.open() == [id]
            t.parked.retry(keys[:3], "adam")
        for _ in range(4):
            race(lambda name: _step(store, id))
        with store.reading() as t:
            found = t.replays.get(id)
            assert found is not None
            assert (found.total, found.seen, found.sent, found.ended_at) == (450, 450, 447, 99.0)
            assert t.replays.open() == []
            assert t.replays.list() == [found]
            assert t.outbox.count() == 450
            assert len(t.audit.list(limit=1000)) == 450

    def test_a_step_that_fails_is_not_taken(self, store: Store) -> None:
        """It is there for the next one, with all its messages."""
        with store.transaction() as t:
            t.parked.add([parked("m1")])
            id = t.replays.start([("m1", "flow:sales")], "eve")
        try:
            with store.transaction() as t:
                t.replays.step(id, 99.0)
                raise InterruptedError
        except InterruptedError:
            pass
        assert _step(store, id)
        assert not _step(store, id)

    def test_a_replay_of_nothing_has_ended(self, store: Store) -> None:
        """It does not stay open for ever."""
        with store.transaction() as t:
            id = t.replays.start([], "eve")
            assert t.replays.open() == []
            assert not t.replays.step(id, 99.0)


def _begin(store: Store) -> None:
    with store.transaction() as t:
        t.schedules.begin("report", "0 18 * * * UTC", 100.0)


def _row(store: Store) -> ScheduleRow:
    with store.reading() as t:
        return t.schedules.all()["report"]


def _step(store: Store, id: str) -> bool:
    with store.transaction() as t:
        return t.replays.step(id, 99.0)
