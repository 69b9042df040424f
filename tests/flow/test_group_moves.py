"""Groups in every order: members, copies, time-outs and people between any two of them; each counts once."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esb.errors import ExpressionError, MessageError
from esb.flow.aggregating import Aggregation
from esb.flow.gathering import Gathering
from esb.flow.groups import key_text, whole_number
from esb.flow.idempotence import Once
from esb.flow.resequencing import Sequencing
from esb.flow.result import Failure
from esb.flow.timing import Delaying, Throttling
from tests.flow.shelf import Shelf, document, held, member

FAILED = Failure(kind="refused", text="no")


def aggregation(**more: Any) -> Aggregation:
    return Aggregation(**{"key": "k", "limit": 100, **more})


def sequencing(**more: Any) -> Sequencing:
    return Sequencing(**{"step": "step", "key": "k", "next": 1, "limit": 100, **more})


def gathering(names: str = "abc", **more: Any) -> Gathering:
    return Gathering(**{"names": tuple(names), "needed": len(names), "least": 1, **more})


# --- aggregate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_members_become_one_in_the_order_they_came(order: tuple[str, ...]) -> None:
    """A copy between any two changes nothing, and a copy behind the end begins no other group."""
    shelf = Shelf()
    for name in (order[0], *order, *order):
        shelf.arrive(held(aggregation(), member(name, number=3)))
    (one,) = shelf.nexts
    assert document(one) == {
        "key": "k", "size": 3, "complete": True, "reason": "complete", "members": [{"n": n} for n in order],
    }  # fmt: skip
    assert [(left.member.id, left.fate, left.child) for left in shelf.left] == [
        (name, "merged", one.at.message.id) for name in order
    ]
    assert shelf.open == {} and shelf.ended == {"k": 1}


@given(st.data())
@settings(max_examples=50)
def test_whatever_happens_each_member_goes_on_once(data: st.DataObject) -> None:
    """Members of three groups, copies, time-outs and a person, in any order: nobody is lost, nobody is there twice."""
    late = data.draw(st.sampled_from(["new", "park", "drop"]))
    fresh = aggregation(timeout=10.0, idle=data.draw(st.sampled_from([0.0, 4.0])), late=late)
    shelf, now = Shelf(), 1000.0
    came: set[str] = set()
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.sampled_from([0.0, 1.0, 6.0]))
        key = data.draw(st.sampled_from("xyz"))
        act = data.draw(st.sampled_from(["arrive", "arrive", "arrive", "strike", "release"]))
        if act == "arrive":
            name = f"{key}{data.draw(st.integers(0, 5))}"
            came.add(name)
            shelf.arrive(held(msgspec.structs.replace(fresh, key=key), member(name, number=3), key), now)
        else:
            shelf.strike(key, now) if act == "strike" else shelf.release(key, now)
    merged = [one["n"] for each in shelf.nexts for one in document(each)["members"]]
    dropped = [left.member.id for left in shelf.left if left.fate == "dropped"]
    waiting = [one.id for group in shelf.open.values() for one in group.all()]
    parked = {each.at.message.id for each in shelf.parked}
    assert sorted([*merged, *dropped, *waiting]) == sorted(came - parked)
    assert parked == set() or late == "park"
    ids = [each.at.message.id for each in shelf.nexts]
    assert len(set(ids)) == len(ids)


def test_what_is_incomplete_fares_as_stated() -> None:
    """It goes on and says so, waits for a person as one message, or ends."""
    for incomplete in ("release", "park", "drop"):
        shelf = Shelf()
        shelf.arrive(held(aggregation(timeout=5.0, incomplete=incomplete), member("a", number=2)), 100.0)
        shelf.strike("k", 104.9)
        assert shelf.ended == {}
        shelf.strike("k", 105.0)
        assert shelf.ended == {"k": 1}
        if incomplete == "release":
            assert (document(shelf.nexts[0])["complete"], document(shelf.nexts[0])["reason"]) == (False, "time is up")
        elif incomplete == "park":
            assert shelf.nexts == [] and shelf.parked[0].error.kind == "incomplete"
            assert shelf.parked[0].at.go == "on"  # a retry lets it go on as it is
        else:
            assert [left.fate for left in shelf.left] == ["dropped"]


def test_the_time_counts_from_the_first_or_the_latest() -> None:
    """`timeout` from the first member, `idle` from the latest; whichever is over first."""
    shelf = Shelf()
    for when in (1000.0, 1003.0, 1006.0):
        shelf.arrive(held(aggregation(timeout=100.0, idle=5.0), member(f"m{when}")), when)
    assert shelf.open["k"].machine.due == 1011.0
    shelf.arrive(held(aggregation(), member("late")), 1098.0)
    assert shelf.open["k"].machine.due == 1100.0


def test_a_condition_asks_about_all_that_are_there() -> None:
    """The one that makes it true is among them; one for which it gives no yes or no is set aside."""
    shelf, when = Shelf(), "$sum(members.amount) >= 10"
    for name, amount in (("a", 4), ("b", 5), ("c", "many"), ("d", 1)):
        shelf.arrive(held(aggregation(when=when), member(name, {"amount": amount})))
    assert [one["amount"] for one in document(shelf.nexts[0])["members"]] == [4, 5, 1]
    assert [type(each.error) for each in shelf.parked] == [ExpressionError]
    shelf.arrive(held(aggregation(when="size"), member("e")))
    assert "must be true or false" in str(shelf.parked[1].error)


def test_one_of_them_may_tell_how_many_they_are() -> None:
    """Whichever it is; a group with as many as its limit ends at once."""
    shelf = Shelf()
    for name, number in (("a", None), ("b", 3), ("c", None)):
        shelf.arrive(held(aggregation(), member(name, number=number)))
    assert document(shelf.nexts[0])["size"] == 3
    for name in "defg":
        shelf.arrive(held(aggregation(limit=2), member(name)))
    assert [document(each)["reason"] for each in shelf.nexts[1:]] == ["full", "full"]


def test_parts_stand_in_their_order() -> None:
    """Whatever order they came in; the whole is no part any more."""
    shelf = Shelf()
    for number in (2, 3, 1):
        part = member(f"p{number}", {"part": number}, number=3, position=number, subject="S-1")
        shelf.arrive(held(aggregation(), part))
    assert [one["part"] for one in document(shelf.nexts[0])["members"]] == [1, 2, 3]
    assert shelf.nexts[0].at.message.subject == "S-1"


# --- resequence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(1, 6))))
def test_numbers_go_on_in_order(order: tuple[int, ...]) -> None:
    """One at a time, the next when the last one is through, whether it is through at once or after all have come."""
    for at_once in (True, False):
        shelf, done = Shelf(), 0
        for number in order:
            shelf.arrive(held(sequencing(), member(f"m{number}", number=number)))
            assert len(shelf.nexts) <= done + 1
            while at_once and done < len(shelf.nexts):
                shelf.through(shelf.nexts[done])
                done += 1
        while done < len(shelf.nexts):
            shelf.through(shelf.nexts[done])
            done += 1
        assert [each.at.message.id for each in shelf.nexts] == [f"m{number}" for number in range(1, 6)]
        assert shelf.open["k"].machine.waits == "" and shelf.open["k"].machine.size == 0


@given(st.data())
@settings(max_examples=50)
def test_order_holds_whatever_happens(data: st.DataObject) -> None:
    """Copies, late and early numbers, time-outs, a person, and messages that get through late: always rising."""
    shelf, now, done = Shelf(), 1000.0, 0
    came: set[int] = set()
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.sampled_from([0.0, 1.0, 8.0]))
        act = data.draw(st.sampled_from(["arrive", "arrive", "arrive", "through", "through", "strike", "release"]))
        if act == "arrive":
            number = data.draw(st.integers(1, 12))
            came.add(number)
            shelf.arrive(held(sequencing(timeout=5.0, limit=4), member(f"m{number}", number=number)), now)
        elif act == "through" and shelf.nexts:
            again = data.draw(st.booleans())  # also one that has said so before
            shelf.through(shelf.nexts[data.draw(st.integers(0, len(shelf.nexts) - 1)) if again else done - 1], now)
        elif act == "strike":
            shelf.strike("k", now)
        else:
            shelf.release("k", now)
        done = max(done, len(shelf.nexts))
    numbers = [int(each.at.message.id[1:]) for each in shelf.nexts]
    assert numbers == sorted(set(numbers))
    waiting = [one.number for group in shelf.open.values() for one in group.all()]
    parked = [int(each.at.message.id[1:]) for each in shelf.parked]
    assert sorted({*numbers, *waiting, *parked}) == sorted(came)
    assert len(waiting) == (shelf.open["k"].machine.size if shelf.open else 0)


def test_a_gap_is_waited_for_as_long_as_stated() -> None:
    """From when it began to hold others up; a number that comes behind its turn fares as stated."""
    for late in ("park", "drop", "pass"):
        shelf, fresh = Shelf(), sequencing(timeout=10.0, late=late)
        shelf.arrive(held(fresh, member("m3", number=3)), 90.0)
        assert shelf.open["k"].machine.waits == "number 1"
        shelf.strike("k", 100.0)
        assert [each.at.message.id for each in shelf.nexts] == ["m3"]
        shelf.arrive(held(fresh, member("m1", number=1)), 101.0)
        parked, left = [e.at.message.id for e in shelf.parked], [e.member.id for e in shelf.left if e.fate == "dropped"]
        assert (parked, left) == {"park": (["m1"], []), "drop": ([], ["m1"]), "pass": ([], [])}[late]
        assert len(shelf.nexts) == (2 if late == "pass" else 1)


def test_a_sequence_with_an_end_ends() -> None:
    """And what comes then is late."""
    shelf, fresh = Shelf(), sequencing(last=2)
    for number in (2, 1):
        shelf.arrive(held(fresh, member(f"m{number}", number=number)))
    for each in list(shelf.nexts):
        shelf.through(each)
    shelf.through(shelf.nexts[1])
    assert shelf.ended == {"k": 1}
    shelf.arrive(held(fresh, member("again", number=1)))
    assert shelf.parked[0].error.kind == "late" and shelf.open == {}


# --- gather ---------------------------------------------------------------------------------------------------------


def answers(failing: str = "", silent: str = "") -> list[Any]:
    asker = member("m", {"asks": True})
    heard = [
        member("m", {"price": ord(name)}, stay=f"m#{name}", name=name, failure=FAILED if name in failing else None)
        for name in "abc" if name not in silent
    ]  # fmt: skip
    return [asker, *heard]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_all_answers_in_any_order(order: tuple[int, ...]) -> None:
    """Also where an answer is there before the question is written down; each may come twice, and it goes on once."""
    shelf, all_of_them = Shelf(), answers(failing="b")
    for number in (*order, *order):
        shelf.arrive(held(gathering(), all_of_them[number], "m"))
    (one,) = shelf.nexts
    assert document(one) == [{"from": "a", "answer": {"price": 97}}, {"from": "c", "answer": {"price": 99}}]
    assert (one.at.go, one.at.message.id) == ("answer", "m")
    assert bytes(one.at.document) == b'{"asks": true}'
    assert one.at.steps[-1].outcome == "2 of 3 answered"


def test_the_first_or_the_best_is_enough() -> None:
    """Behind the end an answer changes nothing."""
    for more, expected in (
        ({"needed": 1, "single": True}, "a"),
        ({"single": True, "highest": "price"}, "c"),
        ({"single": True, "lowest": "price"}, "a"),
    ):
        shelf = Shelf()
        for one in answers():
            shelf.arrive(held(gathering(**more), one, "m"))
        assert [document(each)["from"] for each in shelf.nexts] == [expected]
        assert shelf.open == {}


@pytest.mark.parametrize(("silent", "least", "fails"), [("c", 2, False), ("bc", 2, True), ("abc", 0, False)])
def test_when_the_time_is_up_it_goes_on_with_what_is_there(silent: str, least: int, fails: bool) -> None:
    """With fewer good answers than it must have, the step fails and says who answered what."""
    shelf = Shelf()
    for one in answers(silent=silent):
        shelf.arrive(held(gathering(least=least, timeout=5.0), one, "m"), 100.0)
    shelf.strike("m", 105.0)
    (one,) = shelf.nexts
    assert (one.failure is not None) == fails
    assert fails or len(document(one)) == 3 - len(silent)


def test_a_best_of_nothing_that_can_be_compared_fails_the_step() -> None:
    """It does not go on with any."""
    shelf = Shelf()
    for one in answers():
        shelf.arrive(held(gathering(single=True, lowest="weight"), one, "m"))
    assert shelf.nexts[0].failure is not None and "no number" in shelf.nexts[0].failure.text


# --- the others -----------------------------------------------------------------------------------------------------


def test_the_first_owns_the_value() -> None:
    """It passes however often it comes; others do not, until the value is forgotten."""
    shelf, fresh = Shelf(), Once(within=10.0)
    for name, now in (("a", 0.0), ("a", 1.0), ("b", 2.0), ("a", 3.0), ("b", 10.0), ("a", 11.0)):
        shelf.arrive(held(fresh, member(name)), now)
    assert [each.at.message.id for each in shelf.nexts] == ["a", "a", "a", "b"]
    assert [left.member.id for left in shelf.left] == ["b", "a"]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_more_go_on_than_may(pauses: list[float]) -> None:
    """In any stretch of time; and none waits longer than it has to."""
    shelf, now = Shelf(), 1000.0
    for number, pause in enumerate(pauses):
        now += pause
        shelf.arrive(held(Throttling(distance=0.5), member(f"m{number}")), now)
    dues = [each.due for each in shelf.nexts]
    assert all(later - sooner >= 0.5 - 1e-9 for sooner, later in pairwise(dues))
    assert dues[0] == 1000.0 + pauses[0]


def test_what_would_wait_too_long_does_not_wait() -> None:
    """It is set aside or dropped, and takes nobody's turn."""
    for over in ("park", "drop"):
        shelf, fresh = Shelf(), Throttling(distance=10.0, longest=15.0, over=over)
        for name in "abcd":
            shelf.arrive(held(fresh, member(name)), 0.0)
        assert [each.due for each in shelf.nexts] == [0.0, 10.0]
        assert len(shelf.parked) + len(shelf.left) == 2
        shelf.arrive(held(fresh, member("e")), 12.0)
        assert shelf.nexts[-1].due == 20.0


def test_a_delay_counts_from_now_or_ends_at_a_moment() -> None:
    """One that has passed lets the message go at once."""
    shelf = Shelf()
    shelf.arrive(held(Delaying(seconds=5.0), member("a")), 100.0)
    shelf.arrive(held(Delaying(until=90.0), member("b")), 100.0)
    assert [each.due for each in shelf.nexts] == [105.0, 90.0]
    assert shelf.open == {}


def test_keys_are_texts_of_bounded_length() -> None:
    """What is no text and no number is no key; long ones stay apart."""
    assert [key_text(value) for value in ("a", 7, 1.5, True)] == ["a", "7", "1.5", "true"]
    assert len(key_text("x" * 1000)) == 200 and key_text("x" * 1000) != key_text("x" * 1001)
    for value in (None, "", [], {}):
        with pytest.raises(MessageError, match="the key gives"):
            key_text(value)
    for value in (None, True, "7", 1.5):
        with pytest.raises(MessageError, match="whole number"):
            whole_number(value, "the number")
