"""Who may sign in, what they did, and the figures they look at."""

from __future__ import annotations

import pytest

from esb.errors import EsbError
from esb.store import FIRST, Status, Store
from esb.store.credentials import token_hash
from esb.store.figures import percentile
from esb.store.leases import ROLE
from esb.store.links import FIRST_LIFE, make_first_link, make_link
from esb.testing._store.given import hop, parked, race

NOW = 1_000_000.0


class UserScenarios:
    """Users, and what every change of them leaves in the audit."""

    def test_users_are_added_changed_and_removed(self, store: Store) -> None:
        """Each act once, with who and why in the audit."""
        with store.transaction() as t:
            t.users.add("ada", "admin", "root", "hash")
            t.users.add("bob", "viewer", "ada", why="new here")
            t.users.set_role("bob", "operator", "ada", "on duty")
            t.users.signed_in("bob")
        with store.reading() as t:
            bob = t.users.get("bob")
            assert bob is not None
            assert (bob.role, bob.password, bob.signed_in_at is not None, bob.created_at > NOW) == (
                "operator", "", True, True
            )  # fmt: skip
            assert [(e.who, e.act, e.target, e.reason, e.detail) for e in t.audit.find(target="user:bob")] == [
                ("ada", "user role", "user:bob", "on duty", "viewer to operator"),
                ("ada", "user add", "user:bob", "new here", "viewer"),
            ]
        with store.transaction() as t:
            t.users.remove("bob", "ada")
        with store.reading() as t:
            assert [user.name for user in t.users.list()] == ["ada"]

    @pytest.mark.parametrize("name", ["", "a b", "<b>", "../x", "x" * 101, "-x"])
    def test_a_name_is_a_plain_word(self, store: Store, name: str) -> None:
        """It stands in addresses, audits and logs."""
        with pytest.raises(EsbError, match="no user name"), store.transaction() as t:
            t.users.add(name, "viewer", "root")

    def test_a_name_is_taken_once(self, store: Store) -> None:
        """The second is told."""
        with pytest.raises(EsbError, match="already"), store.transaction() as t:
            t.users.add("ada", "viewer", "root")
            t.users.add("ada", "admin", "root")

    def test_the_last_admin_stays(self, store: Store) -> None:
        """Of two admins who remove each other at once, one is left."""
        with store.transaction() as t:
            t.users.add("ada", "admin", "root")
            t.users.add("eve", "admin", "root")

        def remove(name: str) -> str:
            try:
                with store.transaction() as t:
                    t.users.remove(name, "other")
            except EsbError as error:
                return str(error)
            return ""

        said = race(remove, ("ada", "eve"))
        assert sorted(bool(text) for text in said.values()) == [False, True]
        with store.reading() as t:
            assert len(t.users.list()) == 1
        with pytest.raises(EsbError, match="only admin"), store.transaction() as t:
            t.users.set_role(t.users.list()[0].name, "viewer", "x")

    def test_a_new_password_ends_sessions_and_links(self, store: Store) -> None:
        """Whoever had the old one, or a link, has nothing any more; others keep theirs."""
        with store.transaction() as t:
            for name in ("ada", "bob"):
                t.users.add(name, "admin", "root")
                t.sessions.open(f"s-{name}", name, NOW, 100.0)
                make_link(t, name, NOW, "root")
            t.users.set_password("ada", "hash", "ada")
            assert (t.sessions.get("s-ada", NOW, 100.0), t.links.use("l", NOW)) == (None, None)
            assert t.sessions.get("s-bob", NOW, 100.0) is not None


class SessionScenarios:
    """Browsers that are signed in, and links that let them in."""

    def test_a_session_ends_by_time_or_by_rest(self, store: Store) -> None:
        """Used again and again it lives until its end, unused for long it does not."""
        with store.transaction() as t:
            t.users.add("ada", "viewer", "root")
            t.sessions.open("s", "ada", NOW, 100.0, "::1", "agent")
            assert t.sessions.get("s", NOW + 29, 30.0) is not None
            assert t.sessions.get("s", NOW + 31, 30.0) is None
            t.sessions.touch("s", NOW + 90)
            assert t.sessions.get("s", NOW + 99, 30.0) is not None
            assert t.sessions.get("s", NOW + 100, 30.0) is None

    def test_a_role_holds_at_once(self, store: Store) -> None:
        """Whoever is signed in has the role of this moment; whoever is removed has none."""
        with store.transaction() as t:
            t.users.add("ada", "admin", "root")
            t.users.add("bob", "admin", "root")
            t.sessions.open("s", "bob", NOW, 100.0)
            t.users.set_role("bob", "viewer", "ada")
            session = t.sessions.get("s", NOW, 100.0)
            assert session is not None
            assert session.role == "viewer"
            t.users.remove("bob", "ada")
            assert t.sessions.get("s", NOW, 100.0) is None

    def test_signing_out_everywhere(self, store: Store) -> None:
        """All but one's own; nobody else's."""
        with store.transaction() as t:
            for name in ("ada", "bob"):
                t.users.add(name, "admin", "root")
                for number in range(3):
                    t.sessions.open(f"{name}{number}", name, NOW, 100.0)
            assert t.sessions.close_all("ada", but="ada1") == 2
            assert not t.sessions.close("bob1", "ada")
            assert [s.id for s in t.sessions.of("ada", NOW)] == ["ada1"]
            assert len(t.sessions.of("bob", NOW)) == 3

    def test_a_link_is_good_once(self, store: Store) -> None:
        """Of two who use it at once, one gets it; its token is not in the store."""
        with store.transaction() as t:
            t.users.add("ada", "admin", "root")
            token = make_link(t, "ada", NOW, "root")

        def use(_: str) -> str | None:
            with store.transaction() as t:
                return t.links.use(token_hash(token), NOW)

        assert sorted(race(use).values(), key=str) == [None, "ada"]

    def test_a_link_ends(self, store: Store) -> None:
        """By its time, by another one, and the first one by the first user."""
        with store.transaction() as t:
            first = token_hash(make_first_link(t, NOW))
            assert (t.links.peek(first, NOW), t.links.peek(first, NOW + FIRST_LIFE)) == (FIRST, None)
            late = token_hash(make_first_link(t, NOW))
            assert t.links.use(late, NOW + FIRST_LIFE) is None
            t.users.add("ada", "admin", "root")
            assert make_first_link(t, NOW) == ""
            old = token_hash(make_link(t, "ada", NOW, "root"))
            new = token_hash(make_link(t, "ada", NOW, "root"))
            assert (t.links.peek(old, NOW), t.links.peek(new, NOW)) == (None, "ada")
            with pytest.raises(EsbError, match="no user"):
                make_link(t, "nobody", NOW, "root")


class LookingScenarios:
    """What the pages count."""

    def test_the_audit_is_searched(self, store: Store) -> None:
        """By each field, and page after page without a gap or a repeat."""
        with store.transaction() as t:
            for number in range(5):
                t.audit.append("ada", "retry", f"m{number}", "try")
            t.audit.append("bob", "discard", "m1")
        with store.reading() as t:
            assert [e.target for e in t.audit.find(who="bob")] == ["m1"]
            assert [e.who for e in t.audit.find(target="m1")] == ["bob", "ada"]
            assert len(t.audit.find(act="retry")) == 5
            assert t.audit.acts() == ["discard", "retry"]
            first = t.audit.find(limit=4)
            rest = t.audit.find(limit=4, before=first[-1].id)
            assert [e.target for e in (*first, *rest)] == ["m1", "m4", "m3", "m2", "m1", "m0"]
            assert t.audit.find(since=first[0].at + 60) == t.audit.find(until=first[-1].at - 60) == []

    def test_what_came_in_is_counted_by_interval(self, store: Store) -> None:
        """Entries only, from the bound on; what was parked beside it."""
        with store.transaction() as t:
            t.tracking.record([
                hop("before", "in:pos", received_at=NOW - 1),
                *(hop(f"a{n}", "in:pos", received_at=NOW + n) for n in range(3)),
                hop("b", "in:pos", received_at=NOW + 60),
                hop("b", "flow:sales", received_at=NOW + 60),
            ])  # fmt: skip
            t.parked.add([parked("b", parked_at=NOW + 61), parked("old", parked_at=NOW - 1)])
        with store.reading() as t:
            assert dict(t.figures.entered(NOW, 60.0)) == {0: 3, 1: 1}
            assert dict(t.figures.failed(NOW, 60.0)) == {1: 1}
            assert t.figures.waiting() == (2, NOW - 1)
            assert [one.message_id for one in t.figures.trouble(1)] == ["b"]

    def test_latency_is_from_entry_to_delivery(self, store: Store) -> None:
        """Of each delivery that took place, whatever lies between; what is under way does not count."""
        with store.transaction() as t:
            t.tracking.record([
                hop("m", "in:pos", received_at=NOW),
                hop("m", "flow:sales", received_at=NOW + 1, ended_at=NOW + 1),
                hop("c1", "out:w", correlation_id="m", received_at=NOW + 2, ended_at=NOW + 3),
                hop("c2", "out:x", correlation_id="m", received_at=NOW + 2, ended_at=NOW + 5),
                hop("c3", "out:y", Status.RETRYING, correlation_id="m", received_at=NOW + 2),
            ])  # fmt: skip
        with store.reading() as t:
            found = t.figures.latencies(NOW)
            assert found == [3.0, 5.0]
            assert dict(t.figures.open()) == {Status.RETRYING: 1}
        assert (percentile(found, 0.5), percentile(found, 0.99), percentile([], 0.5)) == (3.0, 5.0, None)

    def test_processes_that_live_are_listed(self, store: Store) -> None:
        """By role and place, as long as their lease runs."""
        with store.transaction() as t:
            t.leases.acquire(f"{ROLE}bus@m:1", "a", 60.0)
            t.leases.acquire(f"{ROLE}web@m:2", "b", -1.0)
            t.leases.acquire("timers", "a", 60.0)
        with store.reading() as t:
            assert t.leases.roles() == ["bus@m:1"]
