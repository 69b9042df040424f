"""Sagas, and the outbox held by whoever wrote it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from esb.store import Dispatch, SagaRow, Status, Store
from esb.testing._store.given import hop, message, race


def row(id: str = "s1", **fields: Any) -> SagaRow:
    """A saga whose other fields do not matter."""
    defaults: dict[str, Any] = {
        "name": "checkout", "key": id, "status": "running", "step": "reserve", "definition": "v1", "trigger_id": "m1",
        "correlation_id": "m1", "reason": "", "version": 1, "deadline": None, "started_at": 1.0, "updated_at": 1.0,
        "ended_at": None, "data": b"state",
    }  # fmt: skip
    return SagaRow(id=id, **defaults | fields)


def _start(store: Store, *rows: SagaRow) -> list[bool]:
    with store.transaction() as t:
        return [t.sagas.start(each) for each in rows]


class SagaScenarios:
    """The states of sagas."""

    def test_a_saga_starts_once(self, store: Store) -> None:
        """Neither its id nor, while it has not ended, its name and key come again; another name may have the key."""
        assert _start(store, row("s1", key="k"), row("s1", key="other"), row("s2", key="k")) == [True, False, False]
        assert _start(store, row("s3", key="k", name="refund")) == [True]
        with store.transaction() as t:
            t.sagas.save([row("s1", key="k", status="completed", version=2, ended_at=5.0)])
        assert _start(store, row("s2", key="k")) == [True]

    def test_of_two_that_race_one_starts(self, store: Store) -> None:
        """Each key gets exactly one saga."""

        def act(name: str) -> int:
            return sum(_start(store, *(row(f"{name}{n}", key=f"k{n}") for n in range(20))))

        assert sum(race(act).values()) == 20

    def test_a_state_is_saved_whole(self, store: Store) -> None:
        """What a lock gives is what was saved last; a state that is older than the one there changes nothing."""
        _start(store, row())
        newer = row(status="stuck", step="charge", reason="no\0 money", version=3, updated_at=9.0, data=b"new")
        with store.transaction() as t:
            assert t.sagas.lock(["s1", "s9"]) == {"s1": row()}
            t.sagas.save([newer])
            t.sagas.save([row(status="running", version=2)])
        with store.reading() as t:
            assert t.sagas.get("s1") == replace(newer, reason="no\ufffd money")
            assert t.sagas.get("s9") is None
            assert t.sagas.open_names() == {"checkout"}

    def test_two_that_lock_a_saga_wait_for_each_other(self, store: Store) -> None:
        """No change is lost when two processes change it at once."""
        _start(store, row(version=0))

        def act(name: str) -> None:
            for _ in range(10):
                with store.transaction() as t:
                    known = t.sagas.lock(["s1"])["s1"]
                    t.sagas.save([replace(known, version=known.version + 1)])

        race(act)
        with store.reading() as t:
            found = t.sagas.get("s1")
        assert found is not None
        assert found.version == 20

    def test_sagas_are_found(self, store: Store) -> None:
        """By id, name, key, state and time, the newest first, page by page, without their state."""
        _start(store, *(row(f"s{n}", started_at=float(n), status="stuck" if n == 2 else "running") for n in range(5)))
        with store.reading() as t:
            assert [r.id for r in t.sagas.search(limit=2)] == ["s4", "s3"]
            page = t.sagas.search(limit=2)
            assert [r.id for r in t.sagas.search(limit=2, before=page[-1].cursor)] == ["s2", "s1"]
            assert [r.id for r in t.sagas.search(status=["stuck"])] == ["s2"]
            assert [r.id for r in t.sagas.search(key="s3", name="checkout")] == ["s3"]
            assert [r.id for r in t.sagas.search(since=1.0, until=3.0)] == ["s2", "s1"]
            assert len(t.sagas.search(id="s")) == 5
            assert t.sagas.search(name="refund") == []
            assert t.sagas.counts() == {("checkout", "running"): 4, ("checkout", "stuck"): 1}
            assert page[0].data == b""

    def test_a_send_that_was_undone_counts_as_compensated(self, store: Store) -> None:
        """Of what was done; a failure stays one."""
        with store.transaction() as t:
            t.tracking.record([
                hop("m1", "saga:checkout", sent=2, published=1),
                hop("c1", "out:w"),
                hop("c2", "out:w", Status.REJECTED),
            ])  # fmt: skip
            t.tracking.compensated([("c1", "out:w"), ("c2", "out:w")])
        with store.reading() as t:
            ledger = t.tracking.ledger()
        assert (ledger.sent, ledger.done, ledger.compensated, ledger.rejected, ledger.in_flight) == (2, 0, 1, 1, 0)

    def test_a_saga_under_way_is_not_settled(self, store: Store) -> None:
        """Though nothing is in flight: it may wait for its time. One that waits for a person is."""
        _start(store, row())
        with store.transaction() as t:
            assert not t.tracking.ledger().settled
            t.sagas.save([row(status="stuck", version=2)])
            assert t.tracking.ledger().settled

    def test_what_started_a_saga_is_completed(self, store: Store) -> None:
        """Of the copies that an entry counts, one is the saga's."""
        with store.transaction() as t:
            t.tracking.record([hop("m1", "in:shop", Status.ACCEPTED, sent=2), hop("m1", "flow:sales")])
            assert t.tracking.ledger().in_progress == 1
            t.tracking.record([hop("m1", "saga:checkout", sent=0)])
            assert t.tracking.ledger().completed == 1

    def test_what_is_held_is_its_writers(self, store: Store) -> None:
        """In the order in which it was written, and nobody else's until the time is up."""
        batch = [Dispatch(message=message(f"m{n}"), to=f"q{n}") for n in range(250)]
        with store.transaction() as t:
            held = t.outbox.hold(batch, "me", 60)
            assert [d.to for d in held] == [f"q{n}" for n in range(250)]
            assert t.outbox.take(500, "you") == []
            t.outbox.sent([d.id for d in held])
            t.outbox.hold(batch[:1], "me", -1)
            assert [d.to for d in t.outbox.take(500, "you")] == ["q0"]
