"""Steps that run steps again: each round is one of its own, also where a call in it waits."""

from __future__ import annotations

from typing import Any

import pytest

from esb.errors import ExpressionError, MessageError, RoutingError
from tests.flow.conftest import Bench, message
from tests.flow.test_calls import REFUSED, carried, document, shop  # noqa: F401 - a fixture

PAGES = """\
    - set: {page: 0}
    - loop:
        while: page < 3
        most: 5
        do:
          - set: {page: page + 1}
          - send: search.index
    - send: warehouse.note
    """
ASKING = """\
    - set: {page: 0}
    - loop:
        while: page < 2
        most: 5
        do:
          - call: stock.ask
            as: stock
          - set: {page: page + 1}
          - send: stock.tell
    - send: search.index
    """


def test_a_loop_ends_when_its_condition_is_false(bench: Bench) -> None:
    """Each round goes on with the document of the one before, and what it sends is a message of its own."""
    result = bench.run(PAGES)
    assert [document(result, n)["page"] for n in range(4)] == [1, 2, 3, 3]
    assert len({send.message.id for send in result.sends}) == 4
    assert [send.message.id for send in bench.run(PAGES).sends] == [send.message.id for send in result.sends]


def test_what_follows_a_loop_does_not_depend_on_its_rounds(bench: Bench) -> None:
    """The same message, mended so that it needs fewer rounds, is known again behind the loop."""
    fewer = bench.run(PAGES.replace("page: 0", "page: 2"))
    assert fewer.sends[-1].message.id == bench.run(PAGES).sends[-1].message.id


def test_a_loop_is_bounded(bench: Bench) -> None:
    """A condition that stays true fails the message, and nothing was sent."""
    result = bench.run(PAGES.replace("page < 3", "page < 300"))
    assert isinstance(result.error, MessageError)
    assert "after 5 rounds: `page < 300` is still true" in str(result.error)
    assert (result.step, result.sends) == ("loop", ())


def test_a_loop_whose_condition_is_no_yes_or_no_fails(bench: Bench) -> None:
    """It is never quietly false."""
    assert isinstance(bench.run(PAGES.replace("page < 3", "items")).error, ExpressionError)


def test_a_filter_in_a_loop_ends_the_message(bench: Bench) -> None:
    """As anywhere; what was sent before stays sent."""
    result = bench.run(PAGES.replace("- send: search.index", "- send: search.index\n          - filter: page < 2"))
    assert (result.status, len(result.sends)) == ("filtered", 2)


def test_rounds_go_on_behind_a_call(shop: Bench) -> None:  # noqa: F811
    """Every round asks under an id of its own; behind the last one the message goes on."""
    flow = shop.flow(ASKING)
    first = flow.run(message())
    second = flow.resume(carried(first), {"left": 1})
    third = flow.resume(carried(second), {"left": 2})
    assert [result.status for result in (first, second, third)] == ["waiting", "waiting", "completed"]
    assert first.calls[0].message.id != second.calls[0].message.id
    assert [send.endpoint for result in (second, third) for send in result.sends] == ["stock", "stock", "search"]
    assert len({send.message.id for result in (second, third) for send in result.sends}) == 3
    assert document(third, 1)["stock"] == {"left": 2}
    assert flow.resume(carried(first), {"left": 1}).calls[0].message.id == second.calls[0].message.id


def test_an_error_leaves_the_rounds(shop: Bench) -> None:  # noqa: F811
    """What follows the step that caught it has the ids that it has without a failure, before and behind a call."""
    steps = ASKING.replace("    - send: search", "      on_error: [{set: {page: 9}}]\n    - send: search")
    flow = shop.flow(steps)
    plain = flow.resume(carried(flow.resume(carried(flow.run(message())), {})), {}).sends[-1]
    called = flow.resume(carried(flow.run(message())), failure=REFUSED)
    assert (called.status, [send.message.id for send in called.sends]) == ("completed", [plain.message.id])
    failing = shop.flow(steps.replace("call: stock.ask\n            as: stock", "set: {x: $error('no')}"))
    assert [send.message.id for send in failing.run(message()).sends] == [plain.message.id]


def test_loops_nest(bench: Bench) -> None:
    """A round of the outer one has the inner one anew."""
    result = bench.run(
        """\
        - set: {a: 0}
        - loop:
            name: outer
            while: a < 2
            most: 2
            do:
              - set: {a: a + 1, b: 0}
              - loop: {while: b < 2, most: 2, do: [{set: {b: b + 1}}, {send: search.index}]}
        """.replace("            name: outer\n", "")
    )
    assert [(document(result, n)["a"], document(result, n)["b"]) for n in range(4)] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len({send.message.id for send in result.sends}) == 4


def test_a_split_in_a_loop_makes_parts_of_each_round(bench: Bench) -> None:
    """A part has an id by its round; run by itself after a failure, what it sends has the same."""
    steps = """\
        - set: {page: 0}
        - loop:
            while: page < 2
            most: 2
            do:
              - set: {page: page + 1}
              - split: {each: items, do: {send: search.index}}
        """
    flow = bench.flow(steps)
    sends = flow.run(message()).sends
    assert len({send.message.id for send in sends}) == len({send.message.causation_id for send in sends}) == 4
    failing = bench.flow(
        steps.replace("do: {send: search.index}", "do: [{filter: $error('no')}, {send: search.index}]")
    )
    parts = failing.run(message()).children
    again = [flow.run(part.message, part.split).sends[0].message.id for part in parts]
    assert again == [send.message.id for send in sends]


SLIP = """\
    - slip:
        by: plan
        among:
          first: {set: {done: '$append(done, "first")'}}
          second: [{set: {done: '$append(done, "second")'}}, {send: search.index}]
    - send: warehouse.note
    """


@pytest.mark.parametrize("plan", [["second", "first", "second"], "second, first,second"])
def test_a_slip_runs_what_the_message_says_in_its_order(bench: Bench, plan: Any) -> None:
    """A list of words, or text with commas; one may come twice, and what it sends are two messages."""
    result = bench.run(SLIP, {"plan": plan}, source="open", type="open", version=0)
    assert document(result, 2)["done"] == ["second", "first", "second"]
    assert [send.endpoint for send in result.sends] == ["search", "search", "warehouse"]
    assert len({send.message.id for send in result.sends}) == 3


def test_an_empty_slip_does_nothing(bench: Bench) -> None:
    """The message goes on."""
    assert [send.endpoint for send in bench.run(SLIP, {}, source="open", type="open", version=0).sends] == ["warehouse"]


def test_an_unknown_word_fails_before_anything_is_done(bench: Bench) -> None:
    """The message could not be finished, so it is not begun."""
    result = bench.run(SLIP, {"plan": ["first", "third"]}, source="open", type="open", version=0)
    assert isinstance(result.error, RoutingError)
    assert '"third" is on the slip, and there are only first, second' in str(result.error)
    assert [trace.outcome for trace in result.steps] == ["failed: routing"]


def test_a_slip_is_words(bench: Bench) -> None:
    """A number is none."""
    assert isinstance(bench.run(SLIP, {"plan": 7}, source="open", type="open", version=0).error, ExpressionError)


def test_what_is_left_of_a_slip_travels_with_the_message(shop: Bench) -> None:  # noqa: F811
    """Behind a call the message goes on with the words that are left, whatever the document says by then."""
    flow = shop.flow(
        """\
        - set: {plan: [a, b, a]}
        - slip:
            by: plan
            among:
              a: [{call: stock.ask, as: stock}, {set: {plan: {const: b}}}]
              b: {send: search.index}
        - send: stock.tell
        """.replace("[a, b, a]", '{const: "a,b,a"}')
    )
    first = flow.run(message())
    second = flow.resume(carried(first), {"left": 1})
    third = flow.resume(carried(second), {"left": 2})
    assert [result.status for result in (first, second, third)] == ["waiting", "waiting", "completed"]
    assert [send.endpoint for result in (second, third) for send in result.sends] == ["search", "stock"]
    assert first.calls[0].message.id != second.calls[0].message.id


def test_references_in_repeated_steps_are_checked(bench: Bench) -> None:
    """Endpoints, bounds, and paths, which may be those that a round has set."""
    found = bench.check("""\
        - loop: {while: ticket = "x", most: 3, do: {send: search.nowhere}}
        - slip: {by: plan, among: {a: {send: nowhere}}}
        - loop: {while: page < 2, most: 3, do: {set: {page: 1}}}
        - loop: {while: country = "GB", most: 0, do: {send: search.index}}
        """).findings
    kinds = {(finding.line, finding.kind) for finding in found}
    assert kinds == {(4, "unknown-operation"), (5, "bare-constant"), (5, "unknown-endpoint"), (7, "bad-value")}
