"""What cases came by, and what none of them did."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from esb.cases.coverage import Coverage, Covered
from esb.cases.run import run_cases
from esb.config import load
from esb.discovery import discover
from esb.flow import build_parts

FILES = {
    "esb.yaml": "bus: shop\n",
    "endpoints/out.yaml": "endpoint: out\nadapter: memory\nsettings: {}\noperations: {put: {}, back: {}}\n",
    "contracts/order/v1.json": '{"type": "object"}',
    "mappings/m.yaml": """\
        mapping: m
        set:
          id: id
          note: remark
          lines: {each: items, set: {sku: code}}
        """,
    "flows/main.yaml": """\
        flow: main
        from: order/v1
        steps:
          - filter: id != "0"
          - choose:
              - when: total > 10
                do:
                  - send: out.put
                    on_error: {send: out.back}
              - {when: total > 1, do: {map: m}}
          - set: {x: {from: gone, default: 1}, y: gone}
        """,
    "sagas/s.yaml": """\
        saga: s
        from: order/v1
        key: id
        steps:
          - {name: one, call: out.put, compensate: out.back}
          - {name: two, call: out.put}
        """,
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A bus with a flow, a mapping and a saga."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def covered(shop: Path, kind: str, cases: str) -> dict[str, Covered]:
    """By file, after these cases."""
    (shop / "flows/it.test.yaml").write_text(f"{kind}\ncases:\n{cases}")
    definition = load(shop, discover(), environ={})
    parts = build_parts(definition)
    coverage = Coverage(definition, parts)
    assert [result.problems for result in run_cases(definition, parts, coverage=coverage)] == [()]
    return {one.file: one for one in coverage.report()}


def case(document: str, expect: str = "{}", more: str = "") -> str:
    return f"  - {{name: it, given: {{document: {document}}}, {more} expect: {expect}}}\n"


def missed(found: Covered) -> list[tuple[int, str, str]]:
    return [(item.line, item.sort, item.name) for item in found.missed]


def test_steps_and_branches_that_nothing_came_by_are_named_with_their_line(shop: Path) -> None:
    """A branch where its first step stands; what an on_error does is a step like any other."""
    found = covered(shop, "flow: main", case('{id: "1", total: 50}'))["flows/main.yaml"]
    assert found.counts == {"step": (4, 6), "branch": (2, 5), "rule": (1, 2)}
    assert missed(found) == [
        (4, "branch", "filter: filtered"),
        (5, "branch", "choose: no branch"),
        (9, "step", "send:out.back"),
        (10, "branch", "choose: total > 1"),
        (10, "step", "map:m"),
        (11, "rule", "y"),
    ]


def test_a_rule_is_taken_when_it_made_something(shop: Path) -> None:
    """In a flow and in a case of the mapping itself; a default counts, nothing does not."""
    found = covered(shop, "flow: main", case('{id: "1", total: 5, items: [{code: A}]}'))
    assert missed(found["mappings/m.yaml"]) == [(4, "rule", "note")]
    cases = '  - {name: it, given: {id: "1"}, expect_partial: {}}\n'
    found = covered(shop, "mapping: m", cases)
    assert [name for _, _, name in missed(found["mappings/m.yaml"])] == ["note", "lines", "lines[*].sku"]


def test_compensations_are_branches_of_a_saga(shop: Path) -> None:
    """They are what nobody thinks of before it happens."""
    found = covered(shop, "saga: s", case('{id: "1"}', "{status: completed}"))["sagas/s.yaml"]
    assert missed(found) == [(5, "branch", "compensation of one")]
    answers = "answers: {out.put: [{done: 1}, {failed: refused}]},"
    found = covered(shop, "saga: s", case('{id: "1"}', "{status: compensated}", answers))["sagas/s.yaml"]
    assert missed(found) == []


def test_what_steps_say_is_what_they_could_have_said() -> None:
    """Where a kind lists its outcomes, each step of it that the cases of the pattern examples come by says one."""
    root = Path(__file__).parents[2] / "examples/patterns"
    definition = load(root, discover(), environ={})
    parts = build_parts(definition)
    coverage = Coverage(definition, parts)
    assert all(result.passed for result in run_cases(definition, parts, coverage=coverage))
    items = [item for one in coverage.report() for item in one.items]
    steps = {(item.file, item.name) for item in items if item.sort == "step" and item.taken}
    branches = [(item.file, item.name.partition(": ")[0], item.taken) for item in items if item.sort == "branch"]
    choosing = {(file, step) for file, step, _ in branches} & steps
    assert choosing
    assert choosing - {(file, step) for file, step, taken in branches if taken} == set()


def test_files_without_cases_count(shop: Path) -> None:
    """What no case speaks of is not covered, and not left out."""
    found = covered(shop, "mapping: m", '  - {name: it, given: {id: "1"}, expect_partial: {}}\n')
    assert found["flows/main.yaml"].counts["step"] == (0, 6)
    assert found["sagas/s.yaml"].counts == {"step": (0, 2), "branch": (0, 1)}
