"""Inbox, outbox and timers."""

from __future__ import annotations

from typing import Any

from esb.store import Dispatch, InboxEntry, Store, Timer
from esb.testing._store.given import message, race


def _entry(id: str = "m1", owner: str = "a", **fields: Any) -> InboxEntry:
    return InboxEntry(endpoint="w", operation="order", message_id=id, owner=owner, fence=1, **fields)


def _start(store: Store, *entries: InboxEntry) -> set[str]:
    with store.transaction() as t:
        return {key[2] for key in t.inbox.start(entries)}


def _seen(store: Store, id: str = "m1") -> InboxEntry | None:
    with store.reading() as t:
        return t.inbox.seen("w", [("order", id)]).get(("order", id))


class InboxScenarios:
    """What each endpoint was sent."""

    def test_a_redelivery_finds_the_reply(self, store: Store) -> None:
        """Done is done, with what came back; other endpoints, operations and messages know nothing."""
        with store.transaction() as t:
            t.inbox.done([_entry(at=5.0, reply=b"201"), _entry("m2")])
        with store.reading() as t:
            seen = t.inbox.seen("w", [("order", "m1"), ("order", "m3"), ("release", "m1")])
            assert t.inbox.seen("elsewhere", [("order", "m1")]) == {}
        assert list(seen) == [("order", "m1")]
        assert (seen["order", "m1"].state, seen["order", "m1"].reply) == ("done", b"201")

    def test_the_first_done_stays(self, store: Store) -> None:
        """A second report does not change the stored reply, nor does a late start."""
        for reply in (b"first", b"second"):
            with store.transaction() as t:
                t.inbox.done([_entry(reply=reply)])
        assert _start(store, _entry()) == set()
        known = _seen(store)
        assert known is not None
        assert (known.state, known.reply) == ("done", b"first")

    def test_started_by_another_is_not_ours(self, store: Store) -> None:
        """The owner itself may say it again; whoever else comes does not get it."""
        assert _start(store, _entry("m1"), _entry("m2")) == {"m1", "m2"}
        assert _start(store, _entry("m1")) == {"m1"}
        assert _start(store, _entry("m1", "b"), _entry("m3", "b")) == {"m3"}

    def test_of_two_that_race_one_starts(self, store: Store) -> None:
        """Each message goes to exactly one of two processes that start the same ones at once."""
        ids = [f"m{n}" for n in range(30)]
        got = race(lambda name: _start(store, *(_entry(id, name) for id in ids)))
        assert sorted([*got["a"], *got["b"]]) == sorted(ids)

    def test_started_by_the_dead_is_in_doubt(self, store: Store) -> None:
        """Abandoned is what was started by an owner without a living lease, and only that."""
        with store.transaction() as t:
            t.leases.acquire("process:alive", "alive", 60)
            t.leases.acquire("process:dead", "dead", -1)
            t.inbox.start([_entry("m1", "alive"), _entry("m2", "dead"), _entry("m3", "unknown"), _entry("m4", "dead")])
            t.inbox.done([_entry("m4", "dead")])
        with store.reading() as t:
            assert sorted(entry.message_id for entry in t.inbox.abandoned()) == ["m2", "m3"]
            assert t.inbox.abandoned("elsewhere") == []

    def test_one_heir_takes_over(self, store: Store) -> None:
        """Of two that want what a dead owner started, one gets it."""
        _start(store, _entry(owner="dead"))
        known = _seen(store)
        assert known is not None

        def act(name: str) -> bool:
            with store.transaction() as t:
                return t.inbox.take_over(known, name, 2)

        assert sorted(race(act).values()) == [False, True]

    def test_what_certainly_did_not_happen_is_forgotten(self, store: Store) -> None:
        """A start is cleared, so that another may start; what is done is not."""
        with store.transaction() as t:
            t.inbox.start([_entry("m1")])
            t.inbox.done([_entry("m2")])
            t.inbox.clear([_entry("m1").key, _entry("m2").key])
        assert _seen(store, "m1") is None
        assert _seen(store, "m2") is not None


def _add(store: Store, *ids: str, at: float | None = None) -> None:
    with store.transaction() as t:
        t.outbox.add([Dispatch(message=message(id), to="q", properties={"p": id}) for id in ids], at)


def _take(store: Store, limit: int = 10, owner: str = "a", **options: float) -> list[Dispatch]:
    with store.transaction() as t:
        return t.outbox.take(limit, owner, **options)


class OutboxScenarios:
    """Messages committed with state, published after."""

    def test_a_dispatch_reads_back_as_written(self, store: Store) -> None:
        """The whole message, where it goes, and its properties."""
        written = Dispatch(message=message(subject="€", headers={"a": "b"}), to="k", event=True, properties={"x": "y"})
        with store.transaction() as t:
            t.outbox.add([written])
        (found,) = _take(store)
        assert (found.message, found.to, found.event, found.properties) == (written.message, "k", True, {"x": "y"})

    def test_they_come_oldest_first_and_once(self, store: Store) -> None:
        """What somebody took nobody else gets, until it is sent or the time is up."""
        _add(store, "m1", "m2", "m3")
        first = _take(store, 2, seconds=-1)
        assert [d.message.id for d in first] == ["m1", "m2"]
        assert [d.message.id for d in _take(store)] == ["m1", "m2", "m3"]
        assert _take(store, owner="b") == []

    def test_what_could_not_be_published_is_there_again(self, store: Store) -> None:
        """At once, if it is still with whoever gives it back."""
        _add(store, "m1", "m2")
        one, other = (row.id for row in _take(store))
        with store.transaction() as t:
            t.outbox.give_back([one], "a")
            t.outbox.give_back([other], "b")
        assert [d.message.id for d in _take(store, owner="b")] == ["m1"]

    def test_what_the_dead_had_in_hand_is_given_to_all(self, store: Store) -> None:
        """And nobody else's."""
        _add(store, "m1", "m2")
        with store.transaction() as t:
            t.outbox.take(1, "dead", 60)
            t.outbox.take(1, "living", 60)
            t.outbox.inherit("dead")
        assert [d.message.id for d in _take(store, owner="heir")] == ["m1"]

    def test_what_is_sent_is_gone(self, store: Store) -> None:
        """And only that."""
        _add(store, "m1", "m2")
        with store.transaction() as t:
            t.outbox.sent([t.outbox.take(1, "a")[0].id])
            t.outbox.sent([])
            assert t.outbox.count() == 1

    def test_the_young_are_left_to_their_writer(self, store: Store) -> None:
        """A sweeper takes only what is older than a while."""
        _add(store, "young")
        _add(store, "old", at=1.0)
        assert [d.message.id for d in _take(store, older_than=60)] == ["old"]

    def test_two_that_take_at_once_share(self, store: Store) -> None:
        """Each message goes to exactly one."""
        ids = [f"m{n:02}" for n in range(40)]
        _add(store, *ids)
        got = race(lambda name: [d.message.id for d in _take(store, 30, name)])
        rest = [d.message.id for d in _take(store, 30, "c")]
        assert sorted(got["a"] + got["b"] + rest) == ids


class TimerScenarios:
    """Messages that become due."""

    def test_timers_come_when_due(self, store: Store) -> None:
        """The longest waiting first, up to a limit, until they are removed."""
        with store.transaction() as t:
            t.timers.add([Timer(id=id, due_at=at, to="q", message=message(id)) for id, at in _TIMES])
            assert [timer.id for timer in t.timers.due(25.0, 10)] == ["t1", "t2"]
            assert [timer.id for timer in t.timers.due(99.0, 1)] == ["t1"]
            t.timers.remove(["t1"])
            assert [timer.id for timer in t.timers.due(99.0, 10)] == ["t2", "t3"]

    def test_the_same_id_moves_the_timer(self, store: Store) -> None:
        """Set twice, it goes off once, at the later word, with the later message."""
        for at in (10.0, 50.0):
            with store.transaction() as t:
                t.timers.add([Timer(id="t", due_at=at, to="q", message=message(f"m{at:g}"), properties={"a": "b"})])
        with store.transaction() as t:
            assert t.timers.due(20.0, 10) == []
            (timer,) = t.timers.due(60.0, 10)
        assert (timer.message.id, timer.to, timer.properties) == ("m50", "q", {"a": "b"})


_TIMES = [("t3", 30.0), ("t1", 10.0), ("t2", 20.0)]
