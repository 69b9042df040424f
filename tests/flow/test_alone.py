"""One message through a flow by itself, as far as it gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from esb.config import load
from esb.flow import Failure, alone, build_parts
from esb.flow.alone import Ended, run_alone
from esb.flow.recording import Recorder
from tests.flow.conftest import SALE, Bench, message

Run = Callable[..., tuple[Ended, list[str]]]


@pytest.fixture
def run(bench: Bench) -> Run:
    """Run a message through steps; how it ended, and the steps it came by. Answers are by operation."""

    def go(steps: str, document: Any = SALE, **answers: Any) -> tuple[Ended, list[str]]:
        bench.steps(steps)
        definition = load(bench.root, bench.components, environ={})
        recorder = Recorder("sales", definition, build_parts(definition))
        ended = run_alone(recorder, message(document), lambda call: answers.get(call.endpoint))
        return ended, [visit.step.kind for top in recorder.visits for visit in top.walk() if not visit.answered]

    return go


@pytest.mark.parametrize("step", ["idempotent: ticket", "delay: 1h", "throttle: {messages: 1, per: 1h}"])
def test_nobody_else_is_there_and_time_passes(run: Run, step: str) -> None:
    """It is the first, its time comes, it is its turn."""
    ended, steps = run(f"- {step}\n- send: search")
    assert (ended.status, ended.error, ended.waiting) == ("completed", None, {})
    assert steps == [step.partition(":")[0], "send"]


def test_what_is_left_behind_is_fetched_again(run: Run) -> None:
    """With the reference that it got; another is an error."""
    ended, steps = run("- claim: {}\n- fetch: claim\n- filter: ticket = '4711'\n- send: search")
    assert (ended.status, steps[-1]) == ("completed", "send"), ended
    ended, _ = run("- fetch: ticket\n- send: search")
    assert "nothing is there for the claim '4711'" in str(ended.error)


def test_a_call_goes_on_with_its_answer(run: Run) -> None:
    """Or as it fails, or not at all."""
    call = "- call: {to: search.index, as: found}\n- filter: found.n > 1"
    assert run(call, search=({"n": 2}, None))[0].status == "completed"
    assert run(call, search=({"n": 1}, None))[0].status == "filtered"
    failed, _ = run(call, search=(None, Failure(kind="refused", text="no")))
    assert (failed.status, "no" in str(failed.error)) == ("failed", True)
    waiting, _ = run(call)
    assert (waiting.status, [one.endpoint for one in waiting.unanswered]) == ("waiting", ["search"])


def test_several_are_asked(run: Run) -> None:
    """It goes on when enough have answered, and else says what is missing."""
    gather = "- gather: {{ask: [search.index, warehouse.note], as: all{}}}\n- send: search"
    answers = {"search": ({"n": 1}, None), "warehouse": ({"n": 2}, None)}
    whole, steps = run(gather.format(""), **answers)
    assert (whole.status, steps) == ("completed", ["gather", "send"])
    half, _ = run(gather.format(""), search=answers["search"])
    assert (half.status, [one.endpoint for one in half.unanswered], list(half.waiting.values())) == (
        "waiting", ["warehouse"], ["1 of 2 answers"]
    )  # fmt: skip
    first, _ = run(gather.format(", wait_for: first"), search=answers["search"])
    assert (first.status, first.waiting) == ("completed", {})


def test_parts_are_there_for_each_other(run: Run) -> None:
    """What was split comes together again, also behind calls."""
    split = "- split: {each: items, sequence: true}\n- call: {to: search.index, as: found}\n"
    ended, steps = run(f"{split}- aggregate: {{parts: true}}\n- send: search", search=({"n": 1}, None))
    assert (ended.error, ended.unanswered, ended.waiting) == (None, [], {})
    assert steps.count("call") == steps.count("aggregate") == 2
    assert steps[-1] == "send"


def test_who_waits_for_others_stays(run: Run) -> None:
    """With what the step waits for."""
    ended, steps = run("- aggregate: {by: country, size: 2}\n- send: search")
    assert (ended.status, ended.waiting, steps) == ("waiting", {"aggregate": "1 of 2 are there"}, ["aggregate"])


def test_a_part_that_fails_is_told(run: Run) -> None:
    """Its whole is completed all the same."""
    ended, _ = run("- split: {each: items, do: [{set: {d: $number(sku)}}, {send: search}]}")
    assert (ended.status, "set" in str(ended.error)) == ("completed", True)


def test_what_never_ends_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said."""
    monkeypatch.setattr(alone, "LEGS", 5)
    loop = "- loop: {while: 1 = 1, most: 10, do: {call: {to: search.index, as: found}}}"
    ended, _ = run(loop, search=({"n": 1}, None))
    assert "5 times" in str(ended.error)
