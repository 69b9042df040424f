"""Both engines behind one class: the same questions, the same answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from esb.conformance import json_schema, jsonata
from esb.errors import EsbError
from esb.expression_engine import ENGINE, ENGINES, LIMIT, Engine, EngineError, Limits

NAMES = sorted(ENGINES)
DOCUMENT = {"a": {"b": [1, 2, 3]}, "word": "x", "none": None}


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of them."""
    return ENGINES[request.param]


def run(engine: Engine, text: str, document: Any = DOCUMENT, bindings: Any = None) -> Any:
    return engine.compile(text).run(engine.handle(document), bindings)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b[1]", 2),
        ("$sum(a.b)", 6),
        ("nothing", None),
        ("none", None),
        ('word & "!"', "x!"),
        ("{'k': a.b[$ > 1]}", {"k": [2, 3]}),
        ("$map(a.b, function($n) {$n * 2})", [2, 4, 6]),
    ],
)
def test_both_give_the_same(engine: Engine, text: str, value: Any) -> None:
    """Paths, functions, predicates, objects; nothing and null are None."""
    assert run(engine, text) == value


def test_variables_functions_and_overrides(engine: Engine) -> None:
    """What the bus hands in, by name without the dollar."""
    assert run(engine, "$x + a.b[0]", bindings={"x": 4}) == 5
    program = engine.compile("$twice(word) & $now()")
    program.register("twice", lambda word: word * 2)
    program.override("now", lambda *_: "then")
    assert program.run(engine.handle(DOCUMENT), None) == "xxthen"
    assert engine.compile("1 + 1").alone(None) == 2


@pytest.mark.parametrize(("text", "code"), [("a.b[", ""), ("1 +", "S0207"), ("$$$(", "")])
def test_what_cannot_be_parsed(engine: Engine, text: str, code: str) -> None:
    """One kind of error, with JSONata's code where there is one."""
    with pytest.raises(EngineError) as raised:
        engine.compile(text)
    assert not code or raised.value.code == code


def test_what_fails_has_its_code(engine: Engine) -> None:
    """Of what a program raises."""
    with pytest.raises(Exception) as raised:
        run(engine, '1 + "x"')
    assert engine.error(raised.value).code == "T2002"


def test_an_expression_without_end_runs_into_a_limit() -> None:
    """And the limit has one code."""
    program = ENGINE.compile("($f := function($n) {1 + $f($n)}; $f(1))", Limits(stack=50))
    with pytest.raises(Exception) as raised:
        program.run(ENGINE.handle({}), None)
    assert ENGINE.error(raised.value).code == LIMIT


# --- the official suites, where somebody has them ---------------------------------------------------------------------


def suite(name: str) -> Path:
    """The directory that the environment names."""
    place = os.environ.get(name)
    if not place:
        pytest.skip(f"{name} names no directory with the suite")
    return Path(place)


def test_the_official_jsonata_suite() -> None:
    """At least 1,680 of its 1,686 cases with the engine that the bus runs on, also where it needs none."""
    verdicts = list(jsonata(suite("ESB_JSONATA_SUITE"), ENGINE))
    assert sum(verdict.passed for verdict in verdicts) >= 1680


def test_the_official_json_schema_suite() -> None:
    """All required cases of draft 2020-12."""
    assert [verdict for verdict in json_schema(suite("ESB_JSON_SCHEMA_SUITE")) if not verdict.passed] == []


@pytest.mark.parametrize("run", [lambda place: jsonata(place, ENGINE), json_schema])
def test_a_directory_without_a_suite(tmp_path: Path, run: Any) -> None:
    """It is said which one is meant."""
    with pytest.raises(EsbError, match="name the directory"):
        list(run(tmp_path))
