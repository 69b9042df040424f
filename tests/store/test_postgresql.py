"""What only a server does: it goes away, comes back, refuses a password, ends a transaction."""

from __future__ import annotations

import secrets
import threading
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from esb.errors import RowRefused, StoreDown, StoreError
from esb.store import Store, open_store
from esb.testing._store.given import hop, owner_that_is_gone, race

pytestmark = pytest.mark.postgresql


def _write(store: Store, *ids: str) -> None:
    with store.transaction() as t:
        t.tracking.record([hop(id) for id in ids])


def _ids(store: Store) -> list[str]:
    with store.reading() as t:
        return sorted(hop.message_id for hop in t.tracking.find())


def test_a_server_that_is_killed_and_comes_back(private_postgresql: Any, postgresql_store: Store) -> None:
    """StoreDown in the middle of a transaction and while it is gone; then the same store works, nothing is lost."""
    _write(postgresql_store, "committed")
    with pytest.raises(StoreDown), postgresql_store.transaction() as t:
        t.tracking.record([hop("under way")])
        private_postgresql.kill()
        t.tracking.record([hop("after")])
    with pytest.raises(StoreDown, match=r"cannot be reached .*: check that the server runs"):
        _write(postgresql_store, "while gone")
    private_postgresql.start()
    _write(postgresql_store, "back")
    assert _ids(postgresql_store) == ["back", "committed"]


def test_a_server_that_dies_before_the_commit(private_postgresql: Any, postgresql_store: Store) -> None:
    """The commit itself raises StoreDown."""
    with pytest.raises(StoreDown), postgresql_store.transaction() as t:
        t.tracking.record([hop("under way")])
        private_postgresql.kill()
    private_postgresql.start()
    assert _ids(postgresql_store) == []


def test_the_dead_are_buried_without_waiting(postgresql_store: Store) -> None:
    """What somebody else has in hand of theirs is left to the next time."""
    dead = owner_that_is_gone()
    with postgresql_store.transaction() as t:
        for name in ("in hand", "free"):
            t.leases.acquire(name, dead, 60)
    with postgresql_store.transaction() as one, postgresql_store.transaction() as other:
        assert one.leases.renew("in hand", dead, 1, 60)
        assert other.leases.bury() == [dead]
    with postgresql_store.transaction() as t:
        assert (t.leases.holder("in hand"), t.leases.holder("free")) == (dead, None)
        assert t.leases.bury() == [dead]


def test_connections_closed_by_the_server_are_replaced(postgresql: Any, postgresql_store: Store) -> None:
    """Idle ones are noticed before they are used: nobody sees an error."""
    race(lambda name: _write(postgresql_store, name), ("a", "b", "c"))
    postgresql.drop_connections()
    race(lambda name: _write(postgresql_store, name), ("d", "e", "f"))
    assert len(_ids(postgresql_store)) == 6


def test_a_deadlock_may_be_tried_again_at_once(postgresql_store: Store) -> None:
    """One of the two gets StoreDown with ``transient``, the other goes on."""
    _write(postgresql_store, "a", "b")
    both = threading.Barrier(2)
    failures: list[StoreDown] = []

    def act(name: str) -> None:
        try:
            with postgresql_store.transaction() as t:
                t.tracking.discard([(name, "flow:sales")], 1.0)
                t.connection.run("UPDATE hops SET detail = 'x' WHERE message_id = ?", (name,))
                both.wait(10)
                t.connection.run("UPDATE hops SET detail = 'x' WHERE message_id = ?", ("ab".replace(name, ""),))
        except StoreDown as error:
            failures.append(error)

    race(act)
    assert [failure.transient for failure in failures] == [True]


def test_a_nul_is_refused(postgresql_store: Store) -> None:
    """PostgreSQL cannot hold one in a text; sanitised it passes."""
    bad = hop("m1", detail="a\0b")
    with pytest.raises(RowRefused, match="the row has to be cleaned or set aside"), postgresql_store.transaction() as t:
        t.tracking.record([hop("m0"), bad])
    with postgresql_store.transaction() as t:
        t.tracking.record([hop("m0"), bad.sanitised()])
    assert _ids(postgresql_store) == ["m0", "m1"]


def test_a_key_too_long_for_an_index_is_refused(postgresql_store: Store) -> None:
    """As a row that must be cleaned, not as an outage."""
    with pytest.raises(RowRefused), postgresql_store.transaction() as t:
        t.tracking.record([hop("m1", subject=secrets.token_hex(20_000))])


def test_a_wrong_password_is_named_and_never_shown(postgresql: Any) -> None:
    """The text says what to check, and holds no secret."""
    parts = urlsplit(postgresql.url)
    store = open_store(
        urlunsplit(parts._replace(netloc=f"{parts.username}:s3cret-canary@{parts.hostname}:{parts.port}")), "."
    )
    with pytest.raises(StoreError) as caught:
        store.check()
    chain = [str(caught.value), repr(caught.value), store.name]
    assert not any("s3cret-canary" in text for text in chain)


def test_a_database_that_does_not_exist(postgresql: Any) -> None:
    """The text says so."""
    store = open_store(urlunsplit(urlsplit(postgresql.url)._replace(path="/nowhere")), ".")
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        store.check()


def test_nobody_listens(tmp_path: Any) -> None:
    """StoreDown, with what to check."""
    store = open_store("postgresql://esb:s3cret-canary@127.0.0.1:1/esb", tmp_path)
    with pytest.raises(StoreDown, match="check that the server runs and `database:` is right") as caught:
        store.check()
    assert "s3cret-canary" not in str(caught.value)


def test_a_role_without_rights(postgresql_store: Store) -> None:
    """The text says which right is needed."""
    with pytest.raises(StoreError, match="give the role of `database:` the right"), postgresql_store.transaction() as t:
        t.connection.run("SET LOCAL ROLE pg_monitor")
        t.tracking.record([hop("m1")])
