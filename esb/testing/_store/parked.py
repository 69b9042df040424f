"""Parked messages."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from esb.store import IN_DOUBT, RETRY, Chosen, InboxEntry, Parked, Status, Store
from esb.store.continuations import INLINE
from esb.testing._store.given import hop, message, parked, race

_KEY = ("m1", "flow:sales")


def _park(store: Store, *messages: Parked) -> None:
    with store.transaction() as t:
        t.parked.add(messages)
        t.tracking.record([hop(m.message.id, m.place, Status.PARKED) for m in messages])


def _status(store: Store, key: tuple[str, str] = _KEY) -> tuple[str, Status]:
    """Of the parked row, and of the hop."""
    with store.reading() as t:
        row, at = t.parked.get(*key), t.tracking.get(*key)
    assert row is not None
    assert at is not None
    return row.status, Status(at.status)


class ParkedScenarios:
    """The dead letters, and what a person does with them."""

    def test_a_parked_message_reads_back_as_written(self, store: Store) -> None:
        """Everything a person needs, and the message as it was."""
        written = parked(step="map:order", operation="order", properties={"a": "b"}, attempts=3, first_failed=1.5)
        _park(store, written)
        with store.reading() as t:
            assert t.parked.get(*_KEY) == written
            assert t.parked.get("m1", "flow:other") is None

    def test_a_large_continuation_is_put_aside_while_its_message_is_retried(self, store: Store) -> None:
        """What is kept aside goes with age; so what is parked again holds it itself, and may wait for years."""
        text = "x" * (INLINE + 1)
        _park(store, parked(properties={"context": text, "a": "b"}))
        with store.transaction() as t:
            t.parked.retry([_KEY], "eve")
            (sent,) = t.outbox.take(10, "me")
            assert t.continuations.read(sent.properties["context"]) == text.encode()
        assert sum(map(len, sent.properties.values())) < 100
        _park(store, parked(properties=sent.properties))
        with store.reading() as t:
            found = t.parked.get(*_KEY)
        assert found is not None
        assert found.properties == {"context": text, "a": "b", RETRY: "1"}

    def test_an_error_no_database_takes_is_parked_all_the_same(self, store: Store) -> None:
        """Setting aside never fails for the text of the failure."""
        _park(store, parked(error="bad \0 and \ud800" + "x" * 100_000))
        with store.reading() as t:
            (found,) = t.parked.list()
        assert found.error.startswith("bad \ufffd and \ufffd")

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({}, ["a1", "b1", "b2"]),
            ({"id": "b"}, ["b1", "b2"]),
            ({"place": "out:w"}, ["b2"]),
            ({"kind": "refused"}, ["b2"]),
            ({"error": "line … is bad"}, ["a1", "b1"]),
            ({"type": "pos.sale"}, ["a1", "b1", "b2"]),
            ({"subject": "nobody"}, []),
            ({"status": "discarded"}, ["gone"]),
            ({"status": None}, ["gone", "a1", "b1", "b2"]),
            ({"limit": 1}, ["a1"]),
        ],
    )
    def test_parked_messages_are_found(self, store: Store, filters: dict, found: list[str]) -> None:
        """By each filter, the longest waiting first."""
        _park(
            store,
            parked("b2", "out:w", kind="refused", parked_at=3.0),
            parked("a1", error="line 7 is bad", parked_at=1.0),
            parked("b1", error="line 8 is bad", parked_at=2.0),
            parked("gone", parked_at=0.0),
        )
        with store.transaction() as t:
            t.parked.discard([("gone", "flow:sales")], "eve")
            assert [p.message.id for p in t.parked.list(**filters)] == found

    def test_lists_go_on_where_the_page_before_ended(self, store: Store) -> None:
        """Page by page, each message once; what is counted is what is listed."""
        _park(store, *(parked(f"m{n}", parked_at=float(n // 2)) for n in range(5)), parked("x", kind="refused"))
        with store.reading() as t:
            meant, after, found = Chosen(kind="contract"), None, []
            while rows := t.parked.find(meant, after=after, limit=2):
                after = rows[-1].cursor
                found += [row.key[0] for row in rows]
            assert found == ["m0", "m1", "m2", "m3", "m4"]
            assert (t.parked.count(meant), t.parked.count(Chosen(until=0.5))) == (5, 2)

    def test_an_edited_message_is_what_a_retry_sends(self, store: Store) -> None:
        """It stays parked, and the audit says who changed it."""
        _park(store, parked())
        with store.transaction() as t:
            assert t.parked.edit(_KEY, replace(message(), body=b"{}"), None, "eve", "a slip")
            assert [(entry.act, entry.who, entry.reason) for entry in t.audit.list("m1")] == [("edit", "eve", "a slip")]
            t.parked.retry([_KEY], "eve")
            assert [one.message.body for one in t.outbox.take(10, "a")] == [b"{}"]
            assert not t.parked.edit(_KEY, message(), None, "bob")
            assert t.parked.original(_KEY) is None

    def test_a_hidden_original_is_what_a_retry_sends(self, store: Store) -> None:
        """What is shown is the other one, also after both were changed."""
        shown, original = replace(message(), body=b"***"), message()
        _park(store, replace(parked(), message=shown, original=original))
        with store.transaction() as t:
            assert [one.message.body for one in t.parked.list()] == [b"***"]
            assert t.parked.original(_KEY) == original
            assert t.parked.edit(_KEY, shown, replace(original, body=b"{}"), "eve")
            t.parked.retry([_KEY], "eve")
            assert [one.message.body for one in t.outbox.take(10, "a")] == [b"{}"]

    def test_errors_alike_are_one_group(self, store: Store) -> None:
        """Numbers, ids and quoted values do not part them; kind and place do."""
        _park(
            store,
            parked("1", error="unknown country 'GB' in line 7", parked_at=1.0),
            parked("2", error="unknown country 'FR' in line 12\nmore", parked_at=9.0),
            parked("3", "out:w", error="unknown country 'FR' in line 12"),
        )
        with store.reading() as t:
            first, second = t.parked.groups()
        assert (first.error, first.count, first.first, first.last) == ("unknown country … in line …", 2, 1.0, 9.0)
        assert (second.place, second.count) == ("out:w", 1)

    def test_a_retry_sends_it_on_from_where_it_failed(self, store: Store) -> None:
        """The outbox has it, the journey is open again, the audit says who, the mark of poison is gone."""
        _park(store, parked(properties={"a": "b"}))
        with store.transaction() as t:
            t.suspects.mark([_KEY])
            assert t.parked.retry([_KEY, ("nobody", "x")], "eve", "fixed the table") == [_KEY]
            (dispatch,) = t.outbox.take(10, "a")
            assert (dispatch.message.id, dispatch.to) == ("m1", "esb.flow.sales")
            assert dispatch.properties == {"a": "b", RETRY: "1"}
            (entry,) = t.audit.list()
            assert (entry.who, entry.act, entry.target, entry.reason) == (
                "eve",
                "retry",
                "m1 flow:sales",
                "fixed the table",
            )
            assert t.suspects.mark([_KEY]) == {_KEY: 1}
        assert _status(store) == ("retrying", Status.RETRYING)

    def test_a_retry_of_what_is_in_doubt_clears_the_doubt(self, store: Store) -> None:
        """The trace of the interrupted send is gone: whoever retries has decided."""
        _park(store, parked(place="out:w", kind=IN_DOUBT, operation="order"))
        with store.transaction() as t:
            t.inbox.start([InboxEntry(endpoint="w", operation="order", message_id="m1", owner="dead")])
            t.parked.retry([("m1", "out:w")], "eve")
            assert t.inbox.seen("w", [("order", "m1")]) == {}

    def test_of_two_people_who_retry_one_does(self, store: Store) -> None:
        """Each message is sent on once."""
        keys = [(f"m{n}", "flow:sales") for n in range(10)]
        _park(store, *(parked(id) for id, _ in keys))

        def act(name: str) -> Sequence[tuple[str, str]]:
            with store.transaction() as t:
                return t.parked.retry(keys, name)

        got = race(act)
        assert sorted([*got["a"], *got["b"]]) == sorted(keys)
        with store.reading() as t:
            assert t.outbox.count() == 10

    def test_a_retry_that_gets_through_is_resolved(self, store: Store) -> None:
        """And one that was never retried is not touched by the word of it."""
        _park(store, parked("m1"), parked("m2"))
        with store.transaction() as t:
            t.parked.retry([_KEY], "eve")
            t.parked.resolved([_KEY, ("m2", "flow:sales")])
            t.tracking.record([hop("m1")])
        assert _status(store) == ("resolved", Status.COMPLETED)
        assert _status(store, ("m2", "flow:sales")) == ("parked", Status.PARKED)

    def test_a_retry_that_fails_again_is_parked_again(self, store: Store) -> None:
        """One row, with the new error; since when it fails is remembered."""
        _park(store, parked(first_failed=1.0))
        with store.transaction() as t:
            t.parked.retry([_KEY], "eve")
        _park(store, parked(error="still missing", first_failed=7.0, parked_at=200.0))
        assert _status(store) == ("parked", Status.PARKED)
        with store.reading() as t:
            (found,) = t.parked.list(status=None)
        assert (found.error, found.first_failed, found.parked_at) == ("still missing", 1.0, 200.0)

    def test_a_discard_is_the_end(self, store: Store) -> None:
        """It can be neither retried nor discarded again, and the audit says who gave it up."""
        _park(store, parked())
        with store.transaction() as t:
            assert t.parked.discard([_KEY], "eve", "test data") == [_KEY]
            assert t.parked.retry([_KEY], "bob") == []
            assert t.parked.discard([_KEY], "bob") == []
            assert [entry.who for entry in t.audit.list("m1")] == ["eve"]
            assert t.outbox.count() == 0
        assert _status(store) == ("discarded", Status.DISCARDED)
