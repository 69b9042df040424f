"""Single transitions, said as situations; what holds in every order is in test_interleavings.py."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from world import TRIGGER, definition, step

from esb.errors import ExpressionError
from esb.message import create
from esb.saga import Act, Answer, Command, Due, Late, Move, SagaDefinition, SetTimer, advance, start
from esb.saga.state import LONGEST_HISTORY

PIVOTAL = definition(step("a"), step("b", undo=False, pivot=True), step("c", undo=False, tries=1), timeout=60.0)


def answer(name: str, done: bool = True, direction: Any = "action", attempt: int = 1, **more: Any) -> Answer:
    """What an endpoint says."""
    more.setdefault("body", b'{"id": "A7"}')
    return Answer(step=name, direction=direction, attempt=attempt, done=done, **more)


def play(saga: SagaDefinition, *inputs: Any, now: float = 1.0) -> Move:
    """The last move after a row of inputs."""
    move = start(saga, TRIGGER, "4711", now)
    for input in inputs:
        move = advance(saga, move.saga, input, now)
    return move


def commands(move: Move) -> list[tuple[str, str, int]]:
    """What a move sends."""
    return [(e.step, e.direction, e.attempt) for e in move.effects if isinstance(e, Command)]


def test_a_request_carries_answers_and_an_end_of_its_time() -> None:
    """The document grows by what is answered; the command must not be sent behind the step's time or the saga's."""
    (effect,) = [e for e in play(PIVOTAL, answer("a")).effects if isinstance(e, Command)]
    assert effect.message.body == b'{"orderId":"4711","a":{"id":"A7"}}'
    assert (effect.deadline, effect.message.causation_id, effect.message.subject) == (11.0, "order-1", "4711")


def test_a_compensation_gets_what_its_action_was_sent_and_answered() -> None:
    """The answer's fields lie on top of the request's."""
    move = play(PIVOTAL, answer("a"), answer("b", done=False))
    (effect,) = [e for e in move.effects if isinstance(e, Command)]
    assert (effect.step, effect.direction, effect.deadline) == ("a", "undo", None)
    assert effect.message.body == b'{"orderId":"4711","id":"A7"}'


def test_an_answer_of_an_earlier_try_that_failed_is_old_news() -> None:
    """Only the failure of the try under way counts; that it took place counts of any."""
    saga = definition(step("a", tries=1), step("b"))
    failed = answer("a", done=False, direction="undo", attempt=1)
    begun = (answer("a"), answer("b", done=False), failed)
    (timer,) = [e for e in play(saga, *begun).effects if isinstance(e, SetTimer)]
    again = play(saga, *begun, Due(timer.step, timer.direction, timer.due))
    assert commands(again) == [("a", "undo", 2)]
    assert not advance(saga, again.saga, failed, 9.0).changed
    assert advance(saga, again.saga, answer("a", direction="undo"), 9.0).saga.status == "compensated"


def test_a_timer_that_comes_twice_does_not_cut_the_next_wait() -> None:
    """The pivot's time-out begins another wait, for a late answer; the same timer again does not end it."""
    due = Due("b", "action", 11.0)
    move = play(PIVOTAL, answer("a"), due)
    assert move.saga.status == "running"
    assert not advance(PIVOTAL, move.saga, due, 12.0).changed
    (timer,) = [e for e in move.effects if isinstance(e, SetTimer)]
    over = advance(PIVOTAL, move.saga, Due("b", "action", timer.due), 20.0)
    assert (over.saga.status, over.saga.acts()) == ("stuck", ("retry", "skip", "compensate", "end"))


def test_a_late_answer_of_the_pivot_goes_on() -> None:
    """Though a person has been asked already: nobody has to act any more."""
    asked = play(PIVOTAL, answer("a"), answer("b", done=False, certain=False))
    assert asked.saga.status == "stuck"
    move = advance(PIVOTAL, asked.saga, answer("b"), 9.0)
    assert (move.saga.status, commands(move)) == ("running", [("c", "action", 1)])


def test_time_is_not_heeded_behind_the_pivot() -> None:
    """Neither the saga's nor a step's: there is no way back."""
    move = play(PIVOTAL, answer("a"), answer("b"))
    assert [e for e in move.effects if isinstance(e, SetTimer)] == []
    assert not advance(PIVOTAL, move.saga, Late(), 99.0).changed


def test_a_step_behind_the_pivot_is_tried_again_and_then_a_person_is_asked() -> None:
    """The person's retry has the waits anew."""
    failed = [answer("c", done=False, attempt=n) for n in (1, 2)]
    move = play(PIVOTAL, answer("a"), answer("b"), failed[0])
    (timer,) = [e for e in move.effects if isinstance(e, SetTimer)]
    again = advance(PIVOTAL, move.saga, Due("c", "action", timer.due), timer.due)
    stuck = advance(PIVOTAL, again.saga, failed[1], 9.0)
    assert (stuck.saga.status, stuck.saga.acts()) == ("stuck", ("retry", "skip", "end"))
    retried = advance(PIVOTAL, stuck.saga, Act("retry", "eve", "again"), 10.0)
    assert (retried.saga.status, commands(retried)) == ("running", [("c", "action", 3)])
    waits = advance(PIVOTAL, retried.saga, answer("c", done=False, attempt=3), 11.0)
    assert waits.saga.status == "running"


def test_an_act_that_is_not_possible_is_refused() -> None:
    """Whoever decides has to know what the saga is at."""
    with pytest.raises(ValueError, match="running knows no skip"):
        play(PIVOTAL, Act("skip", "eve"))
    assert play(PIVOTAL, answer("a")).saga.acts() == ("end",)  # the pivot is under way


def test_the_history_says_who_and_why_and_has_an_end() -> None:
    """The oldest lines behind the first go, where somebody retries for ever."""
    saga = definition(step("a"))
    move = play(saga, answer("a", done=False, certain=False), answer("a", done=False, direction="undo"))
    for attempt in range(2, LONGEST_HISTORY):
        move = advance(saga, move.saga, Act("retry", "eve", "once more"), 2.0)
        move = advance(saga, move.saga, answer("a", done=False, direction="undo", attempt=attempt), 2.0)
    assert len(move.saga.history) == LONGEST_HISTORY
    assert move.saga.history[0].what == "started"
    assert ("retry by eve", "once more") in {(entry.what, entry.detail) for entry in move.saga.history}


@pytest.mark.parametrize("body", [b'{"orderId": null}', b'{"orderId": {"a": 1}}', b'{"orderId": ""}', b"{}"])
def test_a_trigger_without_a_key_starts_nothing(body: bytes) -> None:
    """A key is a text or a number."""
    trigger = create(body, type="order.placed", source="shop")
    with pytest.raises(ExpressionError, match="gives no text and no number"):
        PIVOTAL.key(trigger)


def test_a_key_that_would_be_cut_starts_nothing() -> None:
    """Two sagas must not look like one of the same key."""
    fits, too_long = (create(b'{"orderId": "%s"}' % (b"x" * n), type="o", source="shop") for n in (500, 501))
    assert PIVOTAL.key(fits) == "x" * 500
    with pytest.raises(ExpressionError, match=r"checkout: the key `orderId` gives 501 characters, .* 500"):
        PIVOTAL.key(too_long)


def test_a_test_message_has_a_saga_of_its_own() -> None:
    """Its key is that of no order, nor of the next test message."""
    trigger = create(b'{"orderId": "O-1"}', type="order.placed", version=1, source="shop", id="m1")
    tests = [replace(trigger, correlation_id=f"test:orders:{n}") for n in (1, 2)]
    assert len({PIVOTAL.key(message) for message in (trigger, *tests)}) == 3
