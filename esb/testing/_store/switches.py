"""What people set while the bus runs."""

from __future__ import annotations

from esb.store import Store


class SwitchScenarios:
    """Rows that outlive every process."""

    def test_what_is_set_is_found_in_order(self, store: Store) -> None:
        """With who did it and why; of one kind, or one name of it."""
        with store.transaction() as t:
            assert t.switches.set("table", "carriers", {"GB": "own", "FR": "partner"}, "eve", "a strike") == 2
            assert t.switches.set("detour", "sales", {"check": "on"}, "ann") == 1
        with store.reading() as t:
            rows = [(row.kind, row.name, row.key, row.value, row.who) for row in t.switches.all()]
            only = [row.key for row in t.switches.all("table", "carriers")]
            reasons = {row.reason for row in t.switches.all("table")}
        assert rows == [
            ("detour", "sales", "check", "on", "ann"),
            ("table", "carriers", "FR", "partner", "eve"),
            ("table", "carriers", "GB", "own", "eve"),
        ]
        assert (only, reasons) == (["FR", "GB"], {"a strike"})

    def test_each_change_raises_the_revision(self, store: Store) -> None:
        """So a process asks for one number; what changes nothing is no change, and not audited."""
        revisions = []
        for act in (
            lambda t: t.switches.set("table", "carriers", {"GB": "own"}, "eve"),
            lambda t: t.switches.set("table", "carriers", {"GB": "own"}, "eve"),
            lambda t: t.switches.set("table", "carriers", {"GB": "partner"}, "eve"),
            lambda t: t.switches.unset("table", "carriers", ["GB", "FR"], "eve"),
            lambda t: t.switches.unset("table", "carriers", ["GB"], "eve"),
        ):
            with store.transaction() as t:
                act(t)
                revisions.append(t.switches.revision())
        assert revisions == [1, 1, 2, 3, 3]
        with store.reading() as t:
            assert t.switches.all() == []
            acts = [(entry.act, entry.target, entry.detail) for entry in t.audit.list()]
        assert acts == [
            ("unset table", "table:carriers", "GB, FR"),
            ("set table", "table:carriers", "GB: partner"),
            ("set table", "table:carriers", "GB: own"),
        ]
