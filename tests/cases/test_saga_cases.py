"""Cases of sagas: answers, failures, silence, and what a person reads when a case fails."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from esb.cases.run import CaseResult, run_cases
from esb.config import load
from esb.discovery import discover
from esb.errors import ConfigError
from esb.flow import build_parts

FILES = {
    "esb.yaml": "bus: shop\n",
    "endpoints/stock.yaml": """\
        endpoint: stock
        adapter: memory
        settings: {}
        operations: {reserve: {effect: keyed}, release: {effect: keyed}, ship: {effect: keyed}}
        """,
    "contracts/order/v1.json": json.dumps({"type": "object", "properties": {"id": {"type": "string"}}}),
    "contracts/gone/v1.json": json.dumps({"type": "object"}),
    "sagas/checkout.yaml": """\
        saga: checkout
        from: order/v1
        key: id
        recovery: {delays: [1m]}
        steps:
          - {name: reserve, call: stock.reserve, as: place, timeout: 30s, compensate: stock.release}
          - {name: ship, call: stock.ship, with: {set: {id: id, place: place.place}}}
        completed: gone/v1
        """,
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A bus with a saga."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def run(shop: Path, case: str, saga: str = "checkout") -> CaseResult:
    """One case, written as YAML."""
    text = textwrap.indent(textwrap.dedent(case), "    ")
    given = "    given: {document: {id: A1}}\n"
    (shop / "sagas/checkout.test.yaml").write_text(f"saga: {saga}\ncases:\n  - name: it\n{given}{text}")
    definition = load(shop, discover(), environ={})
    (result,) = run_cases(definition, build_parts(definition))
    return result


def test_answers_go_into_the_document(shop: Path) -> None:
    """What a call answers is there for the next; the calls and the event are compared whole."""
    result = run(
        shop,
        """\
        answers: {stock.reserve: {done: {place: 7}}}
        expect:
          status: completed
          calls: [{to: stock.reserve, document: {id: A1}}, {to: stock, document: {id: A1, place: 7}}]
          publishes: [{event: gone/v1, partial: {id: A1}}]
        """,
    )
    assert (result.kind, result.problems) == ("saga", ())


def test_a_failure_turns_the_saga_back(shop: Path) -> None:
    """The compensation is among the calls, and the reason can be looked at."""
    result = run(
        shop,
        """\
        answers: {stock.ship: {failed: refused}}
        expect:
          status: compensated
          contains: ship failed
          calls: [{to: stock.reserve}, {to: stock.ship}, {to: stock.release}]
        """,
    )
    assert result.problems == ()


def test_silence_lets_the_time_pass(shop: Path) -> None:
    """No time passes outside: a step that is not answered is undone behind its time-out, a compensation comes again."""
    result = run(
        shop,
        """\
        answers: {stock.reserve: nothing, stock.release: [{failed: refused}, {done: null}]}
        expect: {status: compensated, calls: [{to: stock.reserve}, {to: stock.release}, {to: stock.release}]}
        """,
    )
    assert result.problems == ()


def test_a_case_that_fails_says_what_is_different(shop: Path) -> None:
    """The state with its reason, and the calls by name."""
    result = run(
        shop,
        """\
        answers: {stock.ship: {failed: refused}}
        expect: {status: completed, calls: [{to: stock.reserve}]}
        """,
    )
    assert result.problems == (
        "expected status completed, got compensated: ship failed: stock.ship answered refused",
        "expected to call stock.reserve; got stock.reserve, stock.ship, stock.release",
    )


def test_an_answer_to_a_call_that_is_never_made(shop: Path) -> None:
    """A slip in its name would make the case test something else."""
    result = run(shop, "answers: {stock.reserv: nothing}\nexpect: {status: completed}\n")
    assert result.problems == ("the saga never calls 'stock.reserv': did you mean 'stock.reserve'?",)


def test_a_case_of_a_saga_that_is_not_there(shop: Path) -> None:
    """It is a finding, with the nearest name."""
    with pytest.raises(ConfigError, match=r"There is no saga 'chekout'\. Did you mean 'checkout'"):
        run(shop, "expect: {status: completed}\n", saga="chekout")
