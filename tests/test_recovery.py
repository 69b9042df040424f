"""Every cell of the decision table: who is at fault x effect x breaker x what was tried before."""

from __future__ import annotations

import pytest

from esb.config.models import Breaker, Recovery
from esb.errors import Busy, ContractError, Interrupted, Refused, Unreachable
from esb.recovery import Failure, InDoubt, Park, RetryLater, RetryNow, decide, delays, failure_of

POLICY = Recovery(retries=2, delays=(5.0, 30.0, 300.0), give_up=3600.0, breaker=Breaker(reset=20.0))
EFFECTS = ("none", "idempotent", "keyed", "unkeyed")


def fail(kind: str = "unreachable", **fields) -> Failure:
    """An endpoint failure, unless the fields say otherwise."""
    return Failure(**{"kind": kind, "text": "no", "scope": "endpoint", "first_failed": 1000.0, "now": 1000.0} | fields)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("breaker", ["closed", "open", "probing"])
@pytest.mark.parametrize("kind", ["contract", "mapping", "refused", "decode", "internal"])
def test_a_message_failure_is_parked_at_once_whatever_else_holds(kind, breaker, effect):
    """Trying an unacceptable message again gives the same, and a bug of ours is for a person to see."""
    decision = decide(POLICY, effect, "retry", fail(kind, scope="message", breaker=breaker))
    assert decision == Park("no")


@pytest.mark.parametrize(
    ("attempt", "delayed", "expected"),
    [
        (1, 0, RetryNow()),
        (2, 0, RetryNow()),
        (3, 0, RetryLater(5.0, counts=True)),
        (1, 1, RetryNow()),
        (3, 1, RetryLater(30.0, counts=True)),
        (3, 2, RetryLater(300.0, counts=True)),
        (1, 3, RetryNow()),
        (3, 3, Park("after 4 rounds: no")),
    ],
)
@pytest.mark.parametrize("effect", EFFECTS)
def test_an_endpoint_failure_is_retried_at_once_then_later_then_parked(effect, attempt, delayed, expected):
    """First the immediate retries of each delivery, then the delays in order, then the end."""
    assert decide(POLICY, effect, "park", fail(attempt=attempt, delayed=delayed)) == expected


@pytest.mark.parametrize("kind", ["unreachable", "busy", "interrupted"])
@pytest.mark.parametrize("breaker", ["open", "probing"])
@pytest.mark.parametrize(("attempt", "delayed"), [(1, 0), (3, 0), (3, 3), (9, 9)])
def test_while_the_breaker_is_open_or_probing_a_failure_costs_no_attempt(kind, breaker, attempt, delayed):
    """The message waits about as long as the breaker does, however often it has failed before."""
    failure = fail(kind, breaker=breaker, attempt=attempt, delayed=delayed, effect_unknown=kind == "interrupted")
    assert decide(POLICY, "keyed", "park", failure) == RetryLater(30.0, counts=False)


@pytest.mark.parametrize("breaker", ["open", "probing"])
@pytest.mark.parametrize(
    ("waited", "parks"), [(0, False), (3599.9, False), (3600.0, True), (90000.0, True), (-60, False)]
)
def test_an_endpoint_that_stays_down_parks_only_after_give_up(breaker, waited, parks):
    """Also when the clock went backwards, which only means to wait longer."""
    decision = decide(POLICY, "keyed", "park", fail(breaker=breaker, now=1000.0 + waited))
    assert isinstance(decision, Park if parks else RetryLater)


def test_give_up_does_not_count_against_a_message_whose_endpoint_is_back():
    """After a long outage a message still has all its attempts."""
    assert decide(POLICY, "keyed", "park", fail(now=1e9)) == RetryNow()


@pytest.mark.parametrize(
    ("retry_after", "delayed", "expected"),
    [
        (1.0, 0, RetryLater(5.0, counts=True)),
        (5.0, 0, RetryLater(5.0, counts=True)),
        (17.0, 0, RetryLater(30.0, counts=True)),
        (17.0, 2, RetryLater(300.0, counts=True)),
        (86400.0, 0, RetryLater(300.0, counts=True)),
        (17.0, 3, Park("after 4 rounds: no")),
        (None, 0, RetryNow()),
        (0.0, 0, RetryNow()),
    ],
)
def test_retry_after_is_honoured_up_to_the_longest_delay(retry_after, delayed, expected):
    """A system that names its time is not pestered before; a wait is always one of the configured delays."""
    assert decide(POLICY, "keyed", "park", fail("busy", retry_after=retry_after, delayed=delayed)) == expected


def test_retry_after_is_honoured_while_the_breaker_is_open():
    """It lengthens the wait, and still costs no attempt."""
    failure = fail("busy", retry_after=40.0, breaker="open")
    assert decide(POLICY, "keyed", "park", failure) == RetryLater(300.0, counts=False)


@pytest.mark.parametrize("breaker", ["closed", "open", "probing"])
@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("in_doubt", ["retry", "park"])
def test_an_unknown_effect_is_in_doubt_only_where_a_repeat_could_do_harm(effect, in_doubt, breaker):
    """Reads, idempotent and keyed sends are simply repeated; so is an unkeyed one that says `in_doubt: retry`."""
    decision = decide(POLICY, effect, in_doubt, fail("interrupted", effect_unknown=True, breaker=breaker))
    assert isinstance(decision, InDoubt) == (effect == "unkeyed" and in_doubt == "park")


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_certainly_had_no_effect_is_never_in_doubt(effect):
    """Unreachable and busy may be repeated even at an endpoint that takes no key."""
    assert decide(POLICY, effect, "park", fail("unreachable")) == RetryNow()


def test_without_retries_the_first_failure_waits():
    """`retries: 0` goes straight to the delays."""
    assert decide(Recovery(retries=0), "keyed", "park", fail()) == RetryLater(5.0, counts=True)


def test_without_delays_the_message_parks_after_its_retries():
    """`delays: []` leaves only the immediate retries, and the breaker's own rhythm while it is open."""
    policy = Recovery(retries=0, delays=(), breaker=Breaker(reset=20.0))
    assert isinstance(decide(policy, "keyed", "park", fail()), Park)
    assert decide(policy, "keyed", "park", fail(breaker="open")) == RetryLater(20.0, counts=False)
    assert delays(policy) == (20.0,)


def test_delays_are_used_in_the_order_given():
    """They need not ascend."""
    policy = Recovery(retries=0, delays=(300.0, 5.0))
    assert [decide(policy, "keyed", "park", fail(delayed=n)).seconds for n in (0, 1)] == [300.0, 5.0]


@pytest.mark.parametrize("breaker", ["closed", "open"])
@pytest.mark.parametrize("retry_after", [None, 1.0, 7.0, 31.0, 1e6])
@pytest.mark.parametrize("delayed", [0, 1, 2])
def test_every_wait_has_a_queue(breaker, retry_after, delayed):
    """`delays` names every wait that can be decided, so that the topology can declare them all."""
    decision = decide(
        POLICY, "keyed", "park", fail(attempt=9, breaker=breaker, retry_after=retry_after, delayed=delayed)
    )
    assert isinstance(decision, RetryLater)
    assert decision.seconds in delays(POLICY)


@pytest.mark.parametrize(
    ("error", "kind", "scope", "unknown", "retry_after"),
    [
        (Unreachable("no"), "unreachable", "endpoint", False, None),
        (Busy("no", 7.0), "busy", "endpoint", False, 7.0),
        (Interrupted("no"), "interrupted", "endpoint", True, None),
        (Refused("no"), "refused", "message", False, None),
        (ContractError("no"), "contract", "message", False, None),
        (KeyError("x"), "internal", "message", False, None),
    ],
)
def test_an_exception_says_itself_who_is_at_fault(error, kind, scope, unknown, retry_after):
    """The error tree carries what recovery needs; anything foreign is a bug of the bus."""
    failure = failure_of(error, attempt=1, delayed=0, first_failed=1.0, now=2.0)
    assert (failure.kind, failure.scope, failure.effect_unknown, failure.retry_after) == (
        kind,
        scope,
        unknown,
        retry_after,
    )


def test_the_text_of_a_foreign_exception_names_its_type():
    """`'x'` alone would tell nobody anything."""
    assert failure_of(KeyError("x"), attempt=1, delayed=0, first_failed=1.0, now=2.0).text == "KeyError: 'x'"


@pytest.mark.parametrize(("attempt", "delayed"), [(1, 0), (3, 0), (3, 3), (9, 9)])
def test_an_overspent_budget_costs_no_attempt(attempt, delayed):
    """That others fail at the same time is not the message's fault: it waits the shortest while, however often."""
    failure = fail(attempt=attempt, delayed=delayed, overspent=True)
    assert decide(POLICY, "keyed", "park", failure) == RetryLater(5.0, counts=False)


def test_patience_with_an_overspent_budget_ends_after_give_up():
    """As with an endpoint that is down."""
    assert isinstance(decide(POLICY, "keyed", "park", fail(now=1e9, overspent=True)), Park)


def test_what_may_have_taken_effect_is_in_doubt_before_any_budget():
    """It must not be sent again, whether there is a budget for that or not."""
    failure = fail("interrupted", effect_unknown=True, overspent=True)
    assert isinstance(decide(POLICY, "unkeyed", "park", failure), InDoubt)


@pytest.mark.parametrize(
    ("delayed", "expected"),
    [(0, RetryLater(5.0, counts=True)), (2, RetryLater(300.0, counts=True))],
)
def test_what_can_be_asked_about_is_tried_later_and_never_at_once(delayed, expected):
    """The other side may still be at it; then it is asked before anything is sent."""
    failure = fail("interrupted", effect_unknown=True, delayed=delayed)
    assert decide(POLICY, "unkeyed", "probe", failure) == expected


def test_what_could_not_be_asked_about_ends_in_doubt():
    """Behind the last delay, and after give_up: it may have taken place."""
    last = fail("in doubt", effect_unknown=True, delayed=3)
    assert isinstance(decide(POLICY, "unkeyed", "probe", last), InDoubt)
    down = fail("in doubt", effect_unknown=True, breaker="open", now=1e9)
    assert isinstance(decide(POLICY, "unkeyed", "probe", down), InDoubt)
