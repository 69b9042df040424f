"""Lines: messages of one key, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from esb.message import create
from esb.store import Held, Stand, Store
from esb.testing._store.given import race


class HeldScenarios:
    """Only the first of a line may run."""

    def test_a_line_is_let_go_one_by_one(self, store: Store) -> None:
        """In the order of joining; the next only when the one before is over."""
        with store.transaction() as t:
            t.held.stop([_held("m1", Stand.OUT)], 1.0)
            t.held.join([_held("m2"), _held("m3"), _held("m2")], 2.0)
            t.held.join([_held("x1", key="other")], 2.0)
            assert t.held.firsts("out:wms", ["4711", "other", "none"]) == {"4711": "m1", "other": "x1"}
        assert _let_go(store) == ["x1"]
        for over, then in (("m1", ["m2"]), ("m2", ["m3"]), ("m3", [])):
            with store.transaction() as t:
                t.held.over([(over, "out:wms")])
            assert _let_go(store) == then
            assert _let_go(store) == []
        with store.reading() as t:
            assert t.held.firsts("out:wms", ["4711"]) == {}

    def test_what_is_to_be_tried_again_keeps_its_place_until_its_time(self, store: Store) -> None:
        """A failure of the first holds up the others, and it comes back as it is then."""
        with store.transaction() as t:
            t.held.stop([_held("m1", Stand.OUT)], 1.0)
            t.held.join([_held("m2")], 1.0)
            t.held.stop([_held("m1", Stand.DUE, due_at=100.0, attempt="2")], 2.0)
        assert _let_go(store, 99.0) == []
        with store.transaction() as t:
            (found,) = t.held.let_go("out:wms", 100.0, 10)
        assert (found.message.id, found.properties, found.queue) == ("m1", {"attempt": "2"}, "q")
        with store.reading() as t:
            (line,) = t.held.lines()
            assert t.held.keys("out:wms", ["m2", "none"]) == {"m2": "4711"}
        assert (line.first, line.stand, line.behind) == ("m1", Stand.OUT, 1)

    def test_lines_are_dissolved_in_their_order(self, store: Store) -> None:
        """Of one place, so many at a time; nothing is left of them."""
        with store.transaction() as t:
            t.held.stop([_held("m1", Stand.OUT)], 1.0)
            t.held.join([_held("m2"), _held("x1", key="other"), _held("m3")], 1.0)
            t.held.join([msgspec.structs.replace(_held("f1"), place="flow:main")], 1.0)
            assert t.held.places() == ["flow:main", "out:wms"]
        with store.transaction() as t:
            assert [(h.message.id, h.stand) for h in t.held.dissolve("out:wms", 3)] == [
                ("m1", Stand.OUT), ("m2", Stand.WAITING), ("x1", Stand.WAITING),
            ]  # fmt: skip
            assert [h.message.id for h in t.held.dissolve("out:wms", 3)] == ["m3"]
            assert t.held.places() == ["flow:main"]

    def test_of_several_that_let_go_one_gets_each(self, store: Store) -> None:
        """Processes that look at the same time do not send the same message twice."""
        with store.transaction() as t:
            t.held.join([_held(f"m{n}", key=f"k{n}") for n in range(20)], 1.0)
        found = race(lambda _: _let_go(store))
        assert sorted(id for ids in found.values() for id in ids) == sorted(f"m{n}" for n in range(20))


def _held(id: str, stand: Stand = Stand.WAITING, key: str = "4711", due_at: float | None = None, **more: str) -> Held:
    message = create(b"{}", type="order", source="test", id=id, time=1.0)
    return Held(place="out:wms", key=key, message=message, queue="q", stand=stand, due_at=due_at, properties=more)


def _let_go(store: Store, now: float = 1e9) -> Sequence[str]:
    with store.transaction() as t:
        return [held.message.id for held in t.held.let_go("out:wms", now, 50)]
