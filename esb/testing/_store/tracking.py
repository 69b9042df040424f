"""Tracking and the ledger."""

from __future__ import annotations

import random
import string

import pytest

from esb.errors import RowRefused
from esb.store import Hop, Ledger, Status, Store
from esb.testing._store.given import hop, parked, race


def _record(store: Store, *hops: Hop) -> None:
    with store.transaction() as t:
        t.tracking.record(hops)


def _get(store: Store, message_id: str = "m1", place: str = "flow:sales") -> Hop:
    with store.reading() as t:
        found = t.tracking.get(message_id, place)
    assert found is not None
    return found


def _ids(hops: list[Hop]) -> list[str]:
    return [hop.message_id for hop in hops]


class TrackingScenarios:
    """One row per message and place."""

    def test_a_hop_reads_back_as_written(self, store: Store) -> None:
        """Every field survives, bytes too."""
        written = Hop(
            message_id="m1", place="out:warehouse", status=Status.COMPLETED, operation="order", correlation_id="c",
            causation_id="p", type="order", version=2, source="pos", subject="SO-1", time=1.125, received_at=2.25,
            ended_at=3.5, attempts=4, error_kind="busy", error="not now", sent=1, published=2, definition="d",
            detail="201", content_type="application/json", steps=b"\x00\xff", headers=b"\x81",
            body=b'{"\xe2\x82\xac": 1}',
        )  # fmt: skip
        _record(store, written)
        assert _get(store, "m1", "out:warehouse") == written

    @pytest.mark.parametrize(
        ("first", "then", "stands"),
        [
            (Status.RETRYING, Status.RETRYING, "then"),
            (Status.RETRYING, Status.PARKED, "then"),
            (Status.PARKED, Status.IN_DOUBT, "then"),
            (Status.PARKED, Status.COMPLETED, "then"),
            (Status.PARKED, Status.RETRYING, "first"),
            (Status.COMPLETED, Status.RETRYING, "first"),
            (Status.COMPLETED, Status.PARKED, "first"),
            (Status.DISCARDED, Status.COMPLETED, "first"),
        ],
    )
    def test_a_status_only_advances(self, store: Store, first: Status, then: Status, stands: str) -> None:
        """Late news never undoes the end, nor a lower status a higher one."""
        _record(store, hop("m1", status=first, detail="first"))
        _record(store, hop("m1", status=then, detail="then"))
        assert _get(store).detail == stands

    def test_what_waits_does_not_go_back(self, store: Store) -> None:
        """The first leg of a flow, run again behind a kill, may be recorded after the second."""
        _record(store, hop("m1", status=Status.WAITING, sent=2, detail="second call"))
        _record(store, hop("m1", status=Status.WAITING, sent=1, detail="first call"))
        assert (_get(store).sent, _get(store).detail) == (2, "second call")
        _record(store, hop("m1", status=Status.WAITING, sent=3, detail="third call"))
        assert _get(store).detail == "third call"

    def test_what_is_left_out_later_stays(self, store: Store) -> None:
        """A later row without body, and with a later beginning, keeps the body and the beginning."""
        _record(store, hop("m1", status=Status.RETRYING, received_at=5.0, body=b"b", steps=b"1"))
        _record(store, hop("m1", status=Status.COMPLETED, received_at=9.0, steps=b"2"))
        found = _get(store)
        assert (found.received_at, found.body, found.steps) == (5.0, b"b", b"2")

    def test_one_batch_may_hold_a_hop_twice(self, store: Store) -> None:
        """The later of the two counts."""
        _record(store, hop("m1", status=Status.RETRYING), hop("m2"), hop("m1", status=Status.COMPLETED, detail="last"))
        assert _get(store).detail == "last"

    def test_a_large_batch_is_written_like_single_rows(self, store: Store) -> None:
        """All fields, those that are left out, and what is there already; a second batch of the session too."""
        full = [
            hop(f"m{n:03d}", status=Status.RETRYING, subject=f"SO-{n} €", time=1.5, body=b"\x00") for n in range(99)
        ]
        _record(store, *full)
        _record(store, *(hop(f"m{n:03d}", attempts=2, error="e\tx\\N") for n in range(98, -1, -1)))
        _record(store, *(hop(f"m{n:03d}", status=Status.RETRYING) for n in range(99)))
        found = [_get(store, each.message_id) for each in full]
        assert {(one.status, one.attempts, one.error, one.subject, one.body) for one in found} == {
            (Status.COMPLETED, 2, "e\tx\\N", None, b"\x00")
        }
        assert len(found) == 99

    def test_a_large_batch_may_hold_a_hop_twice(self, store: Store) -> None:
        """The later one counts, as in a small one."""
        rows = [hop(f"m{n}") for n in range(50)]
        _record(store, *rows, hop("m7", status=Status.DISCARDED), hop("new", status=Status.RETRYING), hop("new"))
        assert (_get(store, "m7").status, _get(store, "new").status) == (Status.COMPLETED, Status.COMPLETED)

    def test_a_retry_by_hand_goes_back(self, store: Store) -> None:
        """A parked hop is opened again; one that ended is not."""
        _record(store, hop("m1", status=Status.PARKED, ended_at=1.0), hop("m2"))
        with store.transaction() as t:
            t.tracking.reopen([("m1", "flow:sales"), ("m2", "flow:sales")])
        assert (_get(store).status, _get(store).ended_at) == (Status.RETRYING, None)
        assert _get(store, "m2").status == Status.COMPLETED

    def test_two_processes_write_the_same_rows(self, store: Store) -> None:
        """In opposite orders and at once: nobody blocks the other for ever."""
        rows = [hop(f"m{n}", status=Status.RETRYING) for n in range(100)]
        for _ in range(5):
            race(lambda name: _record(store, *(rows if name == "a" else rows[::-1])))
        with store.reading() as t:
            assert len(t.tracking.find(limit=1000)) == 100

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"id": "b-"}, ["b-2", "b-1"]),
            ({"id": "b-1"}, ["b-1"]),
            ({"correlation_id": "c"}, ["b-2", "a-1"]),
            ({"subject": "SO-1"}, ["b-1"]),
            ({"type": "order"}, ["b-2"]),
            ({"place": "out:warehouse"}, ["b-2"]),
            ({"place": "flow:"}, ["b-1", "a-1"]),
            ({"status": [Status.PARKED, Status.RETRYING]}, ["b-1"]),
            ({"status": [Status.PARKED, Status.COMPLETED], "place": "flow:"}, ["b-1", "a-1"]),
            ({"since": 2.0}, ["b-2", "b-1"]),
            ({"until": 2.0}, ["a-1"]),
            ({"limit": 2}, ["b-2", "b-1"]),
            ({"id": "zz"}, []),
        ],
    )
    def test_hops_are_found(self, store: Store, filters: dict, found: list[str]) -> None:
        """By each filter, the newest first."""
        _record(
            store,
            hop("a-1", correlation_id="c", received_at=1.0),
            hop("b-1", status=Status.PARKED, subject="SO-1", received_at=2.0),
            hop("b-2", "out:warehouse", correlation_id="c", type="order", received_at=3.0),
        )
        with store.reading() as t:
            assert _ids(t.tracking.find(**filters)) == found

    def test_test_messages_are_no_business(self, store: Store) -> None:
        """Lists and the ledger leave them out; by an id, by their flow, and where it is asked for, they are found."""
        _record(
            store,
            hop("a", "flow:sales", correlation_id="a", sent=1),
            hop("b", "test:sales", Status.ACCEPTED, correlation_id="test:sales:1", sent=1),
            hop("b", "flow:sales", correlation_id="test:sales:1", sent=1),
            hop("c", "out:erp", correlation_id="test:sales:2", causation_id="b"),
            hop("d", "flow:sales-eu", correlation_id="test:sales-eu:9"),
            hop("e", "flow:sales", correlation_id="testing"),
        )
        with store.reading() as t:
            assert sorted(_ids(t.tracking.find())) == ["a", "e"]
            assert sorted(_ids(t.tracking.find(tests=True))) == ["a", "b", "b", "c", "d", "e"]
            assert _ids(t.tracking.find(correlation_id="test:sales:2")) == _ids(t.tracking.find(id="c")) == ["c"]
            assert t.tracking.test_runs("sales", 5) == ["test:sales:2", "test:sales:1"]
            ledger = t.tracking.ledger()
        assert (ledger.accepted, ledger.sent, ledger.done, ledger.flows) == (0, 1, 0, {"flow:sales": {34: 2}})

    def test_pages_join_without_gap_or_repeat(self, store: Store) -> None:
        """Also where many hops began at the same time."""
        _record(store, *(hop(f"m{n:02}", ("flow:a", "out:b")[n % 2], received_at=1.0 + n // 4) for n in range(10)))
        seen: list[str] = []
        with store.reading() as t:
            page = t.tracking.find(limit=3)
            while page:
                seen += _ids(page)
                page = t.tracking.find(limit=3, before=page[-1].cursor)
        assert seen == [f"m{n:02}" for n in reversed(range(10))]

    def test_a_journey_is_all_that_came_of_one_root(self, store: Store) -> None:
        """From any of its messages, in the order things began."""
        _record(
            store,
            hop("child", "out:warehouse", correlation_id="root", causation_id="root", received_at=3.0, body=b"c"),
            hop("root", "flow:sales", received_at=2.0),
            hop("root", "in:pos", Status.ACCEPTED, received_at=1.0),
            hop("other", "in:pos", Status.ACCEPTED, received_at=1.0),
        )
        with store.reading() as t:
            places = [hop.place for hop in t.tracking.journey("child")]
            assert places == ["in:pos", "flow:sales", "out:warehouse"]
            assert t.tracking.journey("nobody") == []

    def test_what_came_to_its_end_is_told_apart(self, store: Store) -> None:
        """At one place, from what waits, was parked, or is elsewhere."""
        place = "flow:sales"
        with store.transaction() as t:
            t.tracking.record(
                [
                    hop("done", place),
                    hop("waits", place, Status.WAITING),
                    hop("parked", place, Status.PARKED),
                    hop("elsewhere", "flow:other"),
                ]
            )
        with store.reading() as t:
            assert t.tracking.ended(["done", "waits", "parked", "elsewhere", "nobody"], place) == {"done"}
            assert t.tracking.ended([], place) == set()

    def test_what_came_before_is_known(self, store: Store) -> None:
        """Of many ids, those with a row at that very place."""
        _record(store, hop("m1", "in:pos", Status.ACCEPTED), hop("m2", "in:web", Status.ACCEPTED), hop("m3"))
        with store.reading() as t:
            assert t.tracking.known(["m1", "m2", "m3", "m4", "m1"], "in:pos") == {"m1"}
            assert t.tracking.known([], "in:pos") == set()


class RefusalScenarios:
    """Values that a database cannot hold."""

    @pytest.mark.parametrize("bad", [{"subject": "a\ud800b"}, {"version": 2**70}], ids=["surrogate", "number"])
    def test_a_refused_row_takes_the_transaction_with_it(self, store: Store, bad: dict) -> None:
        """RowRefused, nothing written; the others go through without it. In a large batch as in a small one."""
        for others in ([hop("m1")], [hop(f"m{n}") for n in range(100, 150)]):
            with pytest.raises(RowRefused), store.transaction() as t:
                t.tracking.record([*others, hop("m2", **bad)])
            with store.reading() as t:
                assert t.tracking.find() == []
        _record(store, *others)

    def test_a_sanitised_row_is_taken(self, store: Store) -> None:
        """NUL and lone surrogates become U+FFFD, an over-long business key fits the index, the error is cut."""
        long = "".join(random.Random(1).choices(string.printable, k=20000))
        bad = hop("m1", subject=long, error="x" * 100_000, source="a\0b\udfffc", detail="fine")
        _record(store, bad.sanitised())
        found = _get(store)
        assert found.source == "a\ufffdb\ufffdc"
        assert (len(found.subject or ""), len(found.error or ""), found.detail) == (500, 8000, "fine")

    def test_a_clean_row_is_left_as_it_is(self, store: Store) -> None:
        """Sanitising costs nothing where there is nothing to do."""
        clean = hop("m1", subject="Straße 4711 😀")
        assert clean.sanitised() is clean


class LedgerScenarios:
    """What became of everything."""

    def test_each_message_is_in_one_class(self, store: Store) -> None:
        """Accepted is the sum of the classes, by what its entry and its copies in flows say."""
        entry, done, park = Status.ACCEPTED, Status.COMPLETED, Status.PARKED
        _record(
            store,
            hop("completed", "in:pos", entry, sent=2), hop("completed", "flow:a"),
            hop("completed", "flow:b", Status.FILTERED),
            hop("filtered", "in:pos", entry, sent=1), hop("filtered", "flow:a", Status.FILTERED),
            hop("parked", "in:pos", entry, sent=2), hop("parked", "flow:a", park), hop("parked", "flow:b", done),
            hop("refused", "in:pos", park),
            hop("duplicate", "in:pos", Status.DUPLICATE),
            hop("unsubscribed", "in:pos", Status.UNSUBSCRIBED),
            hop("discarded", "in:pos", entry, sent=1), hop("discarded", "flow:a", Status.DISCARDED),
            hop("waiting", "in:pos", entry, sent=1), hop("waiting", "flow:a", Status.RETRYING),
            hop("half", "in:pos", entry, sent=2), hop("half", "flow:a", done),
            hop("fresh", "in:pos", entry, sent=1),
            hop("event", "flow:a", done),
        )  # fmt: skip
        counts = _ledger(store)
        assert counts.accepted == 10
        assert (counts.completed, counts.filtered, counts.parked, counts.duplicate) == (1, 1, 2, 1)
        assert (counts.unsubscribed, counts.discarded, counts.in_progress) == (1, 1, 3)
        assert counts.flows["flow:a"] == {
            Status.COMPLETED: 3, Status.FILTERED: 1, Status.PARKED: 1, Status.DISCARDED: 1, Status.RETRYING: 1,
        }  # fmt: skip

    def test_each_obligation_is_accounted_for(self, store: Store) -> None:
        """Sent is what flows sent; what no endpoint has reported on yet is in flight."""
        _record(
            store,
            hop("m1", "in:pos", Status.ACCEPTED, sent=1), hop("m1", "flow:a", sent=6, published=2),
            hop("c1", "out:w"), hop("c2", "out:w", Status.PARKED), hop("c3", "out:w", Status.IN_DOUBT),
            hop("c4", "out:w", Status.DISCARDED), hop("c5", "out:w", Status.RETRYING),
            hop("e1", "event:order.placed", Status.UNSUBSCRIBED),
        )  # fmt: skip
        counts = _ledger(store)
        assert (counts.sent, counts.done, counts.out_parked, counts.in_doubt) == (6, 1, 1, 1)
        assert (counts.out_discarded, counts.retrying, counts.in_flight) == (1, 1, 1)
        assert (counts.published, counts.events_unsubscribed) == (2, 1)

    def test_a_bus_settles(self, store: Store) -> None:
        """Nothing in progress, retrying or in flight: nothing will change by itself."""
        _record(store, hop("m1", "in:pos", Status.ACCEPTED, sent=1))
        assert not _ledger(store).settled
        _record(store, hop("m1", "flow:a", sent=1))
        assert not _ledger(store).settled
        _record(store, hop("c1", "out:w", Status.RETRYING))
        assert not _ledger(store).settled
        _record(store, hop("c1", "out:w", Status.PARKED))
        assert _ledger(store).settled

    def test_what_waits_is_told_by_reason(self, store: Store) -> None:
        """Parked messages by kind and place, the most first; repeats of sources beside them."""
        with store.transaction() as t:
            t.parked.add([parked("1"), parked("2"), parked("3", "out:w", kind="refused")])
            t.claims.begin("pos", "k", "a.csv")
            t.claims.repeated("pos", "k", "c2", "again.csv")
        counts = _ledger(store)
        assert counts.parked_by == (("contract", "flow:sales", 2), ("refused", "out:w", 1))
        assert counts.repeats == 1

    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("4711", {"subject": "4711"}),
            ("m-1", {"id": "m-1"}),
            ("m-", {"id": "m-"}),
            ("c-1", {"correlation_id": "c-1"}),
            ("47", {"subject_prefix": "47"}),
            ("4711*", {"subject_prefix": "4711"}),
            ("nobody", {"subject": "nobody"}),
            ("", {}),
        ],
    )
    def test_what_somebody_looks_for_is_understood(self, store: Store, text: str, meaning: dict) -> None:
        """A business key, an id or its beginning, a correlation, or the beginning of a business key."""
        with store.transaction() as t:
            t.tracking.record([hop("m-1", subject="4711", correlation_id="c-1"), hop("m-2", subject="47110")])
            assert t.tracking.meaning(text) == meaning
            found = {one.message_id for one in t.tracking.find(**t.tracking.meaning(text))}
        assert found == {"nobody": set(), "": {"m-1", "m-2"}, "m-": {"m-1", "m-2"}, "47": {"m-1", "m-2"}}.get(
            text, {"m-1", "m-2"} if text.endswith("*") else {"m-1"}
        )

    def test_an_empty_store_has_settled(self, store: Store) -> None:
        """All numbers are nought."""
        assert _ledger(store) == Ledger()
        assert _ledger(store).settled


def _ledger(store: Store) -> Ledger:
    with store.reading() as t:
        return t.tracking.ledger()
