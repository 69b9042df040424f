"""Every order in which answers, failures, time-outs, duplicates, late answers and crashes can come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World, begun, definition, step

from esb.saga import SagaDefinition

SAGAS = {
    "two steps that can be undone": definition(step("a"), step("b")),
    "a pivot in the middle": definition(step("a"), step("b", undo=False, pivot=True), step("c", undo=False)),
    "a step without compensation": definition(step("a"), step("b", undo=False)),
    "calls that must succeed are tried again": definition(step("a", tries=1), step("b", undo=False, pivot=True)),
    "no time-out of its own, but of the whole": definition(step("a", timeout=None), step("b"), timeout=60.0),
}

MANY = ("calls that must succeed are tried again", "no time-out of its own, but of the whole")


@pytest.mark.parametrize("name", SAGAS)
def test_every_interleaving_ends_and_holds_the_rules(name: str) -> None:
    """From the beginning every way on is taken until nothing is left to happen; each state is checked.

    Where the number of states allows it, each input may also come twice: a duplicate, or a crash behind the commit.
    """
    copies = 1 if name in MANY else 2
    seen, waiting = set(), [begun(SAGAS[name], copies)]
    ends = set()
    while waiting:
        world = waiting.pop()
        if world.key() in seen:
            continue
        seen.add(world.key())
        ways = [after for _, after in world.next(copies)]
        if not ways:
            world.settled()
            ends.add(world.saga.status)
        waiting += ways
    assert ends >= {"completed", "compensated"}


@given(st.data(), st.sampled_from(sorted(SAGAS)))
@settings(max_examples=300)
def test_walks_with_duplicates_crashes_and_a_person(data: st.DataObject, name: str) -> None:
    """Each input may come again (a duplicate, or a crash behind the commit), and a person acts at any time."""
    _walk(data, begun(SAGAS[name]))


LONG: SagaDefinition = definition(
    step("a"), step("b", undo=False), step("c", tries=2), step("d", undo=False, pivot=True), step("e"), timeout=90.0
)


@given(st.data())
@settings(max_examples=200)
def test_walks_through_a_long_saga(data: st.DataObject) -> None:
    """Five steps, a pivot, a time-out of the whole: the same rules."""
    _walk(data, begun(LONG))


def _walk(data: st.DataObject, world: World) -> None:
    for _ in range(200):
        ways = [after for _, after in world.next(acts=data.draw(st.integers(0, 4)) == 0)]
        if not ways:
            break
        world = ways[data.draw(st.integers(0, len(ways) - 1))]
    else:
        return  # retried by the person for ever
    world.settled()
