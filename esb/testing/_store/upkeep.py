"""Transactions, and what keeps the store small."""

from __future__ import annotations

import msgspec
import pytest

from esb.errors import StoreError
from esb.store import InboxEntry, Status, Store
from esb.testing._store.given import hop, parked, race

DAY = 86400.0


class Keep(msgspec.Struct, frozen=True):
    """How long is remembered, in seconds."""

    messages: float = 7 * DAY
    inbox: float = 30 * DAY
    audit: float | None = None


class TransactionScenarios:
    """All or nothing."""

    def test_a_block_that_raises_leaves_nothing(self, store: Store) -> None:
        """Rolled back, with every repository."""
        with pytest.raises(ZeroDivisionError), store.transaction() as t:
            t.tracking.record([hop("m1")])
            t.audit.append("eve", "act", "m1")
            raise ZeroDivisionError
        with store.reading() as t:
            assert (t.tracking.find(), t.audit.list()) == ([], [])

    def test_reading_does_not_write(self, store: Store) -> None:
        """A reading transaction that writes by mistake is refused."""
        with pytest.raises(StoreError), store.reading() as t:
            t.audit.append("eve", "act", "m1")

    def test_reading_is_of_one_moment(self, store: Store) -> None:
        """What is committed meanwhile is not seen before the next transaction, and nobody waits."""
        with store.reading() as t:
            assert t.tracking.find() == []
            with store.transaction() as other:
                other.tracking.record([hop("m1")])
            assert t.tracking.find() == []
        with store.reading() as t:
            assert len(t.tracking.find()) == 1

    def test_threads_write_at_once(self, store: Store) -> None:
        """Many transactions of many threads: none is lost, none fails."""

        def act(name: str) -> None:
            for number in range(20):
                with store.transaction() as t:
                    t.tracking.record([hop(f"{name}{number}")])

        race(act, ("a", "b", "c", "d"))
        with store.reading() as t:
            assert len(t.tracking.find(limit=1000)) == 80

    def test_a_closed_store_can_be_used_again(self, store: Store) -> None:
        """It makes new connections, and says what it is."""
        store.close()
        store.close()
        assert store.name in store.check()


class RetentionScenarios:
    """What is old goes, what is open stays."""

    def test_what_is_old_and_ended_goes(self, store: Store) -> None:
        """What is young, open, waiting for a person or kept for the inbox's longer time stays."""
        now = 100 * DAY
        with store.transaction() as t:
            t.tracking.record([
                *(hop(f"old{n}", received_at=now - 8 * DAY) for n in range(25)),
                hop("young", received_at=now - 6 * DAY),
                hop("waiting", status=Status.RETRYING, received_at=now - 50 * DAY),
            ])  # fmt: skip
            t.parked.add([parked("kept", parked_at=1.0), parked("given-up", parked_at=1.0)])
            t.parked.discard([("given-up", "flow:sales")], "eve")
            t.inbox.done([_done("ancient", now - 31 * DAY), _done("recent", now - 29 * DAY)])
            t.inbox.start([_done("started", now - 99 * DAY)])
        assert store.prune(now, Keep(), batch=10)["hops"] == 25
        with store.reading() as t:
            assert sorted(h.message_id for h in t.tracking.find()) == ["waiting", "young"]
            assert [p.message.id for p in t.parked.list(status=None)] == ["kept"]
            assert t.inbox.seen("w", [("o", id) for id in ("ancient", "recent", "started")]).keys() == {
                ("o", "recent"),
                ("o", "started"),
            }
            assert len(t.audit.list()) == 1
        assert sum(store.prune(now, Keep()).values()) == 0

    def test_of_a_process_that_ended_nothing_stays(self, store: Store) -> None:
        """A day later. Leases that others will ask for keep their fences."""
        with store.transaction() as t:
            for name in ("owner:a", "role:bus@machine:7", "poll pos", "beat"):
                t.leases.acquire(name, "a", -1)
            t.leases.acquire("owner:b", "b", 60)
            now = t.connection.row(f"SELECT {t.connection.now}")[0]
        assert store.prune(now, Keep())["leases"] == 0
        assert store.prune(now + DAY, Keep())["leases"] == 2
        with store.transaction() as t:
            assert t.leases.alive("b")
            assert t.leases.acquire("poll pos", "b", 60) == 2


def _done(id: str, at: float) -> InboxEntry:
    return InboxEntry(endpoint="w", operation="o", message_id=id, at=at)
