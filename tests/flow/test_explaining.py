"""Why a message fared as it did: what each step went by, the way taken, and why the others were not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esb.config import load
from esb.flow import build_parts
from esb.flow.explaining import Explained, explain
from esb.flow.recording import Recorder
from esb.message import create

FILES = {
    "esb.yaml": "bus: b\n",
    "contracts/order/v1.json": '{"type": "object"}',
    "endpoints/out.yaml": "endpoint: out\nadapter: memory\nsettings: {}\noperations: {put: {}, big: {}}\n",
}


def explained(root: Path, steps: str, document: str) -> list[Explained]:
    """What is said of each step at the top, for one document."""
    from esb.discovery import discover

    for name, text in {**FILES, "flows/f.yaml": f"flow: f\nfrom: order/v1\nsteps:\n{steps}"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    definition = load(root, discover(), environ={})
    recorder = Recorder("f", definition, build_parts(definition))
    recorder.run(create(document.encode(), type="order", version=1, source="s", headers={"h": "x"}))
    return [explain(visit) for visit in recorder.visits]


def test_a_filter_says_what_it_read(tmp_path: Path) -> None:
    """The condition, its value, the values of the paths in it, and its place in the file."""
    (told,) = explained(tmp_path, '  - filter: total > 10 and $message.headers.h = "x"\n', '{"total": 7}')
    assert (told.step, told.where, told.said) == ("filter", "flows/f.yaml:4", "filtered")
    (reason,) = told.reasons
    assert reason.value == "false"
    assert reason.reads == [("total", "7"), ("$message.headers.h", '"x"')]
    assert told.ways == []


CHOICE = """\
  - choose:
      - {when: total > 100, do: {send: out.big}}
      - {when: total > 10, do: {send: out.put}}
      - {when: total > 1, do: {set: {small: {const: true}}}}
      - {otherwise: {set: {none: {const: true}}}}
"""


@pytest.mark.parametrize(
    ("total", "why"),
    [
        (50, ["it is false", "", '"total > 10" came first', '"total > 10" came first']),
        (200, ["", '"total > 100" came first', '"total > 100" came first', '"total > 100" came first']),
        (0, ["it is false", "it is false", "it is false", ""]),
    ],
)
def test_a_choice_says_why_the_other_ways_were_not_taken(tmp_path: Path, total: int, why: list[str]) -> None:
    """False, or not even asked; what happened on the way taken lies below."""
    (told,) = explained(tmp_path, CHOICE, f'{{"total": {total}}}')
    assert [way.why for way in told.ways] == why
    assert sum(way.taken for way in told.ways) == 1
    assert len(told.below) == 1


def test_a_condition_that_fails_is_the_reason(tmp_path: Path) -> None:
    """The step failed before a way was taken; the error is there, and no way counts as taken."""
    (told,) = explained(tmp_path, CHOICE.replace("total > 100", "$number(total) > 100"), '{"total": "much"}')
    assert "expression" in told.error
    assert not any(way.taken for way in told.ways)
    assert told.ways[0].why == told.reasons[0].value != ""
    assert told.ways[1].why == "the step failed before"


def test_a_mapping_says_what_it_left_out(tmp_path: Path) -> None:
    """The rules that gave nothing, with their reason; the elements of a split each with its own visit."""
    steps = "  - split:\n      each: lines\n      do: [{map: {set: {sku: code, note: remark}}}]\n"
    (told,) = explained(tmp_path, steps, '{"lines": [{"code": "A"}, {"code": "B", "remark": "x"}]}')
    assert told.said == "2 parts"
    assert [one.skipped for one in told.below] == [[("note", "left out: `remark` gives nothing")], []]
    assert len({one.part for one in told.below}) == 2


def test_a_way_that_is_run_again_is_told_again(tmp_path: Path) -> None:
    """Each visit has its own traces and notes, also where an on_error takes over."""
    steps = "  - send: out.put\n    on_error: {set: {a: 1}}\n  - filter: missing\n    on_error: {send: out.put}\n"
    told = explained(tmp_path, steps, "{}")
    assert [one.step for one in told] == ["send:out.put", "filter", "send:out.put:2"]
    assert "must be true or false" in told[1].error
    assert (told[0].error, told[2].error) == ("", "")


def test_the_flow_itself_takes_no_notes(tmp_path: Path) -> None:
    """What messages go through has the very functions: being told costs nothing where nobody asks."""
    from esb.flow.context import Context

    def value(work: Any) -> int:
        return 1

    assert Context.watched(Context.__new__(Context), "x", value) is value
