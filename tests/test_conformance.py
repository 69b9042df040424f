"""The runners of the official suites, on suites of a few cases: what passes passes, what differs is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from esb.cli import main
from esb.conformance import DRAFT, REMOTE


@pytest.fixture
def esb() -> Callable[..., Result]:
    """The command line."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def write(place: Path, value: Any) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(value))


CASES = {
    "path/case000.json": {"expr": "a.b", "dataset": "d", "bindings": {}, "result": 1},
    "path/case001.json": [
        {"expr": "$x", "data": None, "bindings": {"x": 2}, "result": 2.0},
        {"expr": "nothing", "dataset": None, "bindings": {}, "undefinedResult": True},
        {"expr": "[3, 1]", "dataset": None, "bindings": {}, "result": [1, 3], "unordered": True},
        {"expr": '1 + "x"', "dataset": None, "bindings": {}, "code": "T2002"},
    ],
}


def test_jsonata_cases(esb: Callable[..., Result], tmp_path: Path) -> None:
    """With data of their own, a data set or nothing; results, codes, order."""
    write(tmp_path / "datasets/d.json", {"a": {"b": 1}})
    for name, case in CASES.items():
        write(tmp_path / "groups" / name, case)
    result = esb("conformance", "jsonata", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "5 of 5 pass\n"), result.output
    assert esb("conformance", "jsonata", tmp_path, "--engine", "jsonata-python").exit_code == 0
    assert esb("conformance", "jsonata", tmp_path, "--engine", "jq").exit_code == 3


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"expr": "1", "result": 2}, "expected 2, got 1"),
        ({"expr": "true", "result": 1}, "expected 1, got true"),
        ({"expr": "1", "code": "T2002"}, "expected error T2002, got 1"),
        ({"expr": '1 + "x"', "code": "T2001"}, "expected error T2001, got: T2002"),
        ({"expr": '1 + "x"', "result": 1}, "unexpected error: T2002"),
    ],
)
def test_a_difference_is_said(esb: Callable[..., Result], tmp_path: Path, case: Any, said: str) -> None:
    """With the name of the case; exit code 1 unless fewer are asked for."""
    write(tmp_path / "groups/g/case000.json", {"dataset": None, "bindings": {}, **case})
    result = esb("conformance", "jsonata", tmp_path)
    assert (result.exit_code, f"g/case000: {said}" in result.stdout) == (1, True), result.output
    assert esb("conformance", "jsonata", tmp_path, "--least", "0").exit_code == 0
    assert json.loads(esb("conformance", "jsonata", tmp_path, "--json").stdout)["passed"] == 0


def test_json_schema_cases(esb: Callable[..., Result], tmp_path: Path) -> None:
    """Also schemas that are true or false, and those that lie elsewhere in the suite; formats say nothing there."""
    write(tmp_path / "remotes" / DRAFT / "integer.json", {"type": "integer"})
    groups = [
        {"description": "g", "schema": False, "tests": [{"description": "c", "data": 1, "valid": False}]},
        {
            "description": "far",
            "schema": {"$ref": f"{REMOTE}{DRAFT}/integer.json"},
            "tests": [
                {"description": "c", "data": 1, "valid": True},
                {"description": "d", "data": "1", "valid": False},
            ],
        },
        {
            "description": "f",
            "schema": {"format": "email"},
            "tests": [{"description": "c", "data": "x", "valid": True}],
        },
    ]
    write(tmp_path / "tests" / DRAFT / "some.json", groups)
    result = esb("conformance", "json-schema", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "4 of 4 pass\n"), result.output
    groups[0]["tests"][0]["valid"] = True
    write(tmp_path / "tests" / DRAFT / "some.json", groups)
    assert "some: g: c: expected valid: breaks contract" in esb("conformance", "json-schema", tmp_path).stdout
