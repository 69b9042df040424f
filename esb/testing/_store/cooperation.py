"""What processes agree on through the store: claims, leases, breakers, suspects, definitions."""

from __future__ import annotations

from functools import partial

import msgspec

from esb.store import BreakerRow, Store, new_owner
from esb.testing._store.given import owner_that_is_gone, race


class ClaimScenarios:
    """What was taken from each source."""

    def test_a_new_thing_is_begun_and_remembered(self, store: Store) -> None:
        """None the first time; after that what is known, also to whoever goes on after a crash: it is theirs then."""
        with store.transaction() as t:
            assert t.claims.begin("pos", "sha", "a.csv", "claim-1") is None
            t.claims.advance("pos", "sha", 200)
            t.claims.advance("pos", "sha", 100)
        with store.transaction() as t:
            known = t.claims.begin("pos", "sha", "b.csv", "claim-2")
            assert t.claims.begin("other", "sha", "a.csv") is None
        assert known is not None
        assert (known.state, known.position, known.name, known.claim_id) == ("open", 200, "a.csv", "claim-2")

    def test_a_repeat_is_known_and_counted(self, store: Store) -> None:
        """What ended is found as such; each repeat counts, and counts once, however often it is told."""
        with store.transaction() as t:
            t.claims.begin("pos", "sha", "a.csv")
            t.claims.finish("pos", "sha", "done", 7)
            known = t.claims.begin("pos", "sha", "again.csv")
        for claim in ("claim-2", "claim-2", "claim-3"):
            with store.transaction() as t:
                t.claims.repeated("pos", "sha", claim, "again.csv")
        with store.reading() as t:
            listed = t.claims.get("pos", "sha")
            states = sorted(row.state for row in t.claims.list("pos"))
            assert t.claims.list("other") == []
        assert known is not None
        assert listed is not None
        assert (known.state, known.records, listed.repeats) == ("done", 7, 2)
        assert states == ["done", "duplicate", "duplicate"]

    def test_what_is_broken_is_opened_again_and_nothing_else(self, store: Store) -> None:
        """For the claim that gives it once more, behind its position."""
        with store.transaction() as t:
            for key in ("broken", "rejected"):
                t.claims.begin("pos", key, "a.csv", "claim-1")
                t.claims.advance("pos", key, 200)
            t.claims.finish("pos", "broken", "broken")
            t.claims.finish("pos", "rejected", "rejected")
            for key in ("broken", "rejected"):
                t.claims.reopen("pos", key, "claim-2")
            found = [t.claims.get("pos", key) for key in ("broken", "rejected")]
        known = [(row.state, row.position, row.claim_id) for row in found if row]
        assert known == [("open", 200, "claim-2"), ("rejected", 200, "claim-1")]

    def test_of_two_that_begin_one_is_first(self, store: Store) -> None:
        """The other learns that it is taken."""

        def act(name: str) -> bool:
            with store.transaction() as t:
                return t.claims.begin("pos", "sha", name) is None

        assert sorted(race(act).values()) == [False, True]


def _acquire(store: Store, owner: str, seconds: float = 60, name: str = "poll:pos") -> int | None:
    with store.transaction() as t:
        return t.leases.acquire(name, owner, seconds)


class LeaseScenarios:
    """Who may do what only one may do."""

    def test_one_holds_it(self, store: Store) -> None:
        """While it runs nobody else gets it; the holder itself may ask again."""
        assert _acquire(store, "a") == 1
        assert _acquire(store, "b") is None
        assert _acquire(store, "a") == 2
        with store.reading() as t:
            assert (t.leases.holder("poll:pos"), t.leases.alive("a"), t.leases.alive("b")) == ("a", True, False)

    def test_of_two_that_race_one_holds(self, store: Store) -> None:
        """For a lease nobody ever had, and for one that ran out."""
        assert sorted(race(lambda name: _acquire(store, name) is None).values()) == [False, True]
        _acquire(store, "late", -1, "x")
        assert sorted(race(lambda name: _acquire(store, name, 60, "x") is None).values()) == [False, True]

    def test_the_fence_rises_with_every_change_of_hands(self, store: Store) -> None:
        """Also over release and running out; the old holder can neither renew nor release."""
        assert _acquire(store, "a", -1) == 1
        assert _acquire(store, "b") == 2
        with store.transaction() as t:
            assert not t.leases.renew("poll:pos", "a", 1, 60)
            t.leases.release("poll:pos", "a", 1)
            assert t.leases.holder("poll:pos") == "b"
            t.leases.release("poll:pos", "b", 2)
            assert t.leases.holder("poll:pos") is None
        assert _acquire(store, "c") == 3

    def test_a_holder_renews_in_time_or_not_at_all(self, store: Store) -> None:
        """Once it ran out it is lost, even if nobody else wanted it."""
        assert _acquire(store, "a") == 1
        with store.transaction() as t:
            assert t.leases.renew("poll:pos", "a", 1, -1)
            assert not t.leases.renew("poll:pos", "a", 1, 60)
            assert not t.leases.alive("a")

    def test_leases_of_before_the_clock_was_set_back_run_out(self, store: Store) -> None:
        """None is taken away at once, since its owner may live; who renews keeps it, and others are as they were."""
        for name in ("dead", "living"):
            _acquire(store, name, 3600, name)
        _acquire(store, "other", 60, "other")
        _acquire(store, "gone", -1, "gone")
        with store.transaction() as t:
            assert t.leases.shorten(100) == 2
            assert t.leases.shorten(100) == 0
            assert [t.leases.alive(name) for name in ("dead", "living", "other", "gone")] == [True, True, True, False]
            assert t.leases.renew("living", "living", 1, 3600)
            t.connection.run("UPDATE leases SET expires_at = expires_at - 61")
            assert [t.leases.alive(name) for name in ("dead", "living", "other")] == [True, True, False]
            t.connection.run("UPDATE leases SET expires_at = expires_at - 40")
            assert [t.leases.alive(name) for name in ("dead", "living")] == [False, True]
        assert _acquire(store, "heir", 60, "dead") == 2

    def test_shortening_waits_for_nobody(self, store: Store) -> None:
        """A lease that is being renewed at that moment is left alone."""
        for name in ("a", "b"):
            _acquire(store, name, 3600, name)

        def act(name: str) -> None:
            with store.transaction() as t:
                t.leases.acquire(name, name, 60)
                t.leases.shorten(100)

        race(act)
        with store.transaction() as t:
            assert t.leases.shorten(100) == 0

    def test_leases_of_a_process_that_is_gone_end_at_once(self, store: Store) -> None:
        """They are free with the next fence. Those of who lives, and of others that cannot be asked about, run on."""
        mine = new_owner()
        dead = owner_that_is_gone()
        elsewhere = f"elsewhere/{owner_that_is_gone().partition('/')[2]}"
        for owner in (mine, dead, elsewhere, "by another name"):
            _acquire(store, owner, 60, f"poll:{owner}")
        with store.transaction() as t:
            assert t.leases.bury() == [dead]
            assert t.leases.bury() == []
            alive = [t.leases.alive(owner) for owner in (mine, dead, elsewhere, "by another name")]
        assert alive == [True, False, True, True]
        assert _acquire(store, "heir", 60, f"poll:{dead}") == 2
        assert _acquire(store, "heir", 60, f"poll:{mine}") is None


class BreakerScenarios:
    """Breakers shared by processes."""

    def test_a_change_counts_only_on_the_version_it_saw(self, store: Store) -> None:
        """From never written (0) on; a stale change is refused and changes nothing."""
        opened = BreakerRow(
            endpoint="w", state="open", failures=5, opened_at=1.0, probe_at=2.0, probe_owner="a", version=1
        )
        with store.transaction() as t:
            assert t.breakers.read_all() == {}
            assert t.breakers.change("w", 0, opened)
            assert not t.breakers.change("w", 0, BreakerRow(endpoint="w"))
            assert not t.breakers.change("w", 7, BreakerRow(endpoint="w"))
            assert t.breakers.read_all() == {"w": opened}
            assert t.breakers.change("w", 1, msgspec.structs.replace(opened, state="probing"))
            assert t.breakers.read_all()["w"].version == 2

    def test_of_two_that_change_it_one_does(self, store: Store) -> None:
        """On a breaker never written, and on one that is."""

        def act(version: int, name: str) -> bool:
            with store.transaction() as t:
                return t.breakers.change("w", version, BreakerRow(endpoint="w", probe_owner=name))

        for version in (0, 1, 2):
            assert sorted(race(partial(act, version)).values()) == [False, True]


class SuspectScenarios:
    """Messages that were under way when a worker died."""

    def test_deaths_are_counted_until_one_gets_through(self, store: Store) -> None:
        """Per message and place; clearing starts anew."""
        keys = [("m1", "flow:a"), ("m1", "flow:b")]
        for count in (1, 2):
            with store.transaction() as t:
                assert t.suspects.mark(keys) == {keys[0]: count, keys[1]: count}
        with store.transaction() as t:
            t.suspects.clear([keys[0]])
            assert t.suspects.mark(keys) == {keys[0]: 1, keys[1]: 3}

    def test_a_mark_is_taken_back(self, store: Store) -> None:
        """One at a time, and what has none left is forgotten; below nought there is nothing."""
        key = ("m1", "flow:a")
        for _ in range(2):
            with store.transaction() as t:
                t.suspects.mark([key])
        for left in (1, 0, 0):
            with store.transaction() as t:
                t.suspects.unmark([key])
                assert t.suspects.count(key) == left


class DefinitionScenarios:
    """The bus directories that were in force."""

    def test_the_last_activated_is_in_force(self, store: Store) -> None:
        """Earlier ones stay to be read; activating the one in force changes nothing; going back is possible."""
        with store.transaction() as t:
            assert t.definitions.active() is None
            assert t.definitions.active_hash() == ""
            assert t.definitions.activate("h1", {"esb.yaml": "bus: a"})
            assert t.definitions.activate("h2", {"esb.yaml": "bus: ä"})
            assert not t.definitions.activate("h2", {})
            active, old = t.definitions.active(), t.definitions.get("h1")
            assert t.definitions.activate("h1", {"esb.yaml": "bus: a"})
            assert t.definitions.active_hash() == "h1"
            assert t.definitions.get("h3") is None
        assert active is not None
        assert old is not None
        assert (active.hash, active.files) == ("h2", {"esb.yaml": "bus: ä"})
        assert old.files == {"esb.yaml": "bus: a"}
