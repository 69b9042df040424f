"""The official test suites of JSONata and of JSON Schema, run through the classes that the bus uses.

The suites are not shipped: they lie in a directory that somebody names.

* JSONata: ``test/test-suite`` of https://github.com/jsonata-js/jsonata
* JSON Schema: https://github.com/json-schema-org/JSON-Schema-Test-Suite, draft 2020-12
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from esb.contract import Contract
from esb.errors import ContractError, EsbError
from esb.expression import plain_form
from esb.expression_engine import Engine, EngineError, Limits
from esb.expression_plain import MISSING, Unsure
from esb.quoting import quote

DRAFT = "draft2020-12"
REMOTE = "http://localhost:1234/"  # where the suite's schemas say that the others lie
_GENEROUS = Limits(timeout=10_000, stack=500, sequence=10_000_000)


class Verdict(msgspec.Struct, frozen=True):
    """One case. ``problem``: what was otherwise; "" when it passed."""

    name: str
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem


# --- JSONata ----------------------------------------------------------------------------------------------------------


def jsonata(directory: Path, engine: Engine) -> Iterator[Verdict]:
    """Every case of the JSONata suite on an engine. Raises ``EsbError`` where there is no suite.

    The engine gives nothing for null as for what is missing, so a case that tells them apart passes either way. Where
    the bus would compute an expression without the engine, that has to give the same.
    """
    groups = directory / "groups"
    if not groups.is_dir():
        raise EsbError(f"{directory} has no groups/: name the directory test/test-suite of jsonata-js/jsonata")
    datasets = {file.stem: json.loads(file.read_text("utf-8")) for file in (directory / "datasets").glob("*.json")}
    for file in sorted(groups.glob("*/*.json")):
        found = json.loads(file.read_text("utf-8"))
        for number, case in enumerate(found if isinstance(found, list) else [found]):
            if "expr-file" in case:
                case["expr"] = (file.parent / case["expr-file"]).read_text("utf-8")
            given = case["data"] if "data" in case else datasets.get(case.get("dataset") or "", msgspec.UNSET)
            name = f"{file.parent.name}/{file.stem}" + (f" {number + 1}" if isinstance(found, list) else "")
            yield Verdict(name, _jsonata_problem(case, given, engine))


def _jsonata_problem(case: Mapping[str, Any], given: Any, engine: Engine) -> str:
    limits = Limits(case["timelimit"], case["depth"], _GENEROUS.sequence) if "timelimit" in case else _GENEROUS
    try:
        program, bindings = engine.compile(case["expr"], limits), case.get("bindings") or None
        alone = given is msgspec.UNSET
        value = program.alone(bindings) if alone else program.run(engine.handle(given), bindings)
    except EngineError as error:
        return _code_differs(case, error)
    except Exception as error:
        return _code_differs(case, engine.error(error))
    if "code" in case or "error" in case:
        return f"expected error {_code(case)}, got {quote(value)}"
    expected = None if case.get("undefinedResult") else case.get("result")
    unordered = bool(case.get("unordered"))
    if not _alike(expected, value, unordered):
        return f"expected {quote(expected)}, got {quote(value)}"
    return "" if bindings else _plain_differs(case["expr"], None if alone else given, value)


def _code_differs(case: Mapping[str, Any], error: EngineError) -> str:
    expected = _code(case)
    if not expected:
        return f"unexpected error: {error}"
    return "" if error.code == expected else f"expected error {expected}, got: {error}"


def _code(case: Mapping[str, Any]) -> str:
    return str(case.get("code") or case.get("error", {}).get("code") or "")


def _plain_differs(text: str, given: Any, value: Any) -> str:
    """Simple expressions are computed without the engine where the bus runs them."""
    plain = plain_form(text, {})
    if plain is None:
        return ""
    try:
        found = plain(given)
    except Unsure:
        return ""
    found = None if found is MISSING else found
    return "" if _alike(value, found, False) else f"the engine gives {quote(value)}, and without it {quote(found)}"


def _alike(one: Any, other: Any, unordered: bool) -> bool:
    """Equal as JSON: 1 is 1.0, and true is no number. Fractions as far as they are written."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-15)
    if isinstance(one, list) and isinstance(other, list):
        if unordered:
            one, other = sorted(one, key=repr), sorted(other, key=repr)
        return len(one) == len(other) and all(_alike(a, b, False) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key], False) for key in one)
    return bool(one == other)


# --- JSON Schema ------------------------------------------------------------------------------------------------------


def json_schema(directory: Path) -> Iterator[Verdict]:
    """Every required case of the JSON Schema suite through :class:`~esb.contract.Contract`.

    Raises ``EsbError`` where there is no suite.
    """
    tests = directory / "tests" / DRAFT
    if not tests.is_dir():
        raise EsbError(f"{directory} has no tests/{DRAFT}/: name the directory of the JSON-Schema-Test-Suite")
    others = dict(_remotes(directory / "remotes"))
    for file in sorted(tests.glob("*.json")):
        for group in json.loads(file.read_text("utf-8")):
            yield from _group(file.stem, group, others)


def _remotes(directory: Path) -> Iterator[tuple[str, Any]]:
    """The draft's schemas that others refer to, by where they say that these lie."""
    for file in sorted((directory / DRAFT).rglob("*.json")):
        yield REMOTE + file.relative_to(directory).as_posix(), json.loads(file.read_text("utf-8"))


def _group(stem: str, group: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Verdict]:
    try:
        contract: Contract | None = Contract("suite/v1", group["schema"], known=others, assert_formats=False)
        wrong = ""
    except ContractError as error:
        contract, wrong = None, str(error)
    for case in group["tests"]:
        name = f"{stem}: {group['description']}: {case['description']}"
        yield Verdict(name, wrong if contract is None else _schema_problem(contract, case))


def _schema_problem(contract: Contract, case: Mapping[str, Any]) -> str:
    try:
        contract.check(case["data"])
    except ContractError as error:
        return f"expected valid: {error}" if case["valid"] else ""
    return "" if case["valid"] else "expected invalid"
