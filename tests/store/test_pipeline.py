"""Statements on PostgreSQL travel together: how often somebody waits, and what becomes of errors meanwhile."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from esb.errors import RowRefused, StoreError
from esb.store import Dispatch, Hop, Status, Store, engine, open_store
from esb.testing._store.given import hop, message
from esb.testing.proxy import Proxy, Wire

pytestmark = pytest.mark.postgresql


class Turns:
    """How often the bus said something after it had heard something: round trips."""

    def __init__(self) -> None:
        self.count = 0
        self._heard = True

    def wire(self) -> Wire:
        counter = self

        class Counted(Wire):
            def to_server(self, data: bytes) -> bytes:
                counter.count += counter._heard
                counter._heard = False
                return data

            def to_client(self, data: bytes) -> bytes:
                counter._heard = True
                return data

        return Counted()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def watched(postgresql: Any, migrated_database: str, turns: Turns) -> Iterator[Store]:
    """A store behind a wire that counts, with a connection in its pool."""
    url = postgresql.database(migrated_database)
    parts = urlsplit(url)
    with Proxy((parts.hostname or "", parts.port or 0), wire=turns.wire) as proxy:
        store = open_store(url.replace(f":{parts.port}/", f":{proxy.port}/"), ".")
        with store.transaction() as t:
            t.tracking.record([hop("first")])
        turns.count = 0
        yield store
        store.close()
    postgresql.drop(url)


def test_a_transaction_that_only_writes_is_one_round_trip(watched: Store, turns: Turns) -> None:
    """However many statements it has."""
    with watched.transaction() as t:
        t.tracking.record([hop("a"), hop("b")])
        t.outbox.add([Dispatch(message=message("out"), to="q")])
        t.inbox.clear([("e", "o", "m")])
    assert turns.count == 1
    with watched.reading() as t:
        assert {found.message_id for found in t.tracking.find()} == {"first", "a", "b"}


def test_an_answer_that_is_read_is_one_more(watched: Store, turns: Turns) -> None:
    """Behind it what is written goes with the commit."""
    with watched.transaction() as t:
        assert t.inbox.seen("e", [("o", "m")]) == {}
        t.tracking.record([hop("a")])
    assert turns.count == 2


def many(first: int, last: int, **more: Any) -> list[Hop]:
    """So many that they are copied."""
    return [hop(f"m{number:03}", **more) for number in range(first, last)]


def through_another_table(store: Store) -> bool:
    """Whether the connection at rest has the one for what may be there already."""
    with store.reading() as t:
        return t.connection.row("SELECT to_regclass('pg_temp.hops_in')")[0] is not None


def test_new_rows_are_written_where_they_stay(watched: Store, turns: Turns) -> None:
    """And in no more round trips than others."""
    with watched.transaction() as t:
        t.tracking.record(many(0, 100), new=True)
    straight, turns.count = turns.count, 0
    assert not through_another_table(watched)
    with watched.transaction() as t:
        t.tracking.record(many(100, 200))
    assert straight <= turns.count
    assert through_another_table(watched)
    with watched.reading() as t:
        assert len(t.tracking.find(limit=500)) == 201


def test_rows_that_were_taken_for_new_and_are_not_change_nothing_that_is_known(watched: Store) -> None:
    """Nor what else is in the transaction; the others are written."""
    with watched.transaction() as t:
        t.tracking.record([hop("m050", status=Status.COMPLETED, detail="first"), hop("m051", status=Status.RETRYING)])
    with watched.transaction() as t:
        t.outbox.add([Dispatch(message=message("out"), to="q")])
        t.tracking.record(many(0, 100, status=Status.COMPLETED, detail="second"), new=True)
        t.inbox.clear([("e", "o", "m")])
    with watched.reading() as t:
        found = {each.message_id: each.detail for each in t.tracking.find(limit=500)}
        assert t.outbox.count() == 1
    assert found == {"first": None, "m050": "first"} | {f"m{n:03}": "second" for n in range(100) if n != 50}


def test_what_is_read_is_of_one_moment(watched: Store) -> None:
    """Though another transaction was committed in between; and nothing can be written."""
    with watched.reading() as t:
        before = len(t.tracking.find())
        with watched.transaction() as other:
            other.tracking.record([hop("meanwhile")])
        assert len(t.tracking.find()) == before
    with pytest.raises(StoreError, match="read-only"), watched.reading() as t:
        t.tracking.record([hop("never")])


def test_a_row_that_is_refused_takes_all_with_it(watched: Store) -> None:
    """Raised by the commit at the latest, and what came behind it in the same breath is not carried out."""
    with pytest.raises(RowRefused), watched.transaction() as t:
        t.tracking.record([hop("before")])
        t.tracking.record([hop("\0")])
        t.tracking.record([hop("behind")])
    with watched.transaction() as t:
        t.tracking.record([hop("next")])
    with watched.reading() as t:
        assert {found.message_id for found in t.tracking.find()} == {"first", "next"}


@pytest.mark.parametrize("statement", ["row", "run"])
def test_nobody_takes_a_rollback_for_a_commit(watched: Store, statement: str) -> None:
    """A block that swallows what a statement raised, and goes on to its end."""
    with pytest.raises(StoreError, match="rolled back"), watched.transaction() as t:
        t.tracking.record([hop("lost")])
        with pytest.raises(Exception, match="division by zero"):
            getattr(t.connection, statement)("SELECT 1 / 0")
    with watched.reading() as t:
        assert [found.message_id for found in t.tracking.find()] == ["first"]


def test_a_connection_that_rested_is_asked_first(watched: Store, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was in use a moment ago is not."""
    monkeypatch.setattr(engine, "RESTED", 0.0)
    with watched.transaction() as t:
        t.tracking.record([hop("a")])
    assert turns.count == 2


def test_a_process_with_many_descriptors_has_connections_too(postgresql_store: Store) -> None:
    """As one that serves a thousand clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        for number in range(2):
            with postgresql_store.transaction() as t:
                t.tracking.record([hop(f"m{number}")])
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
