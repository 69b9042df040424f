"""A message does what a person could do: it is stated in the flow, checked, and a result like any other."""

from __future__ import annotations

import pytest

from esb.errors import RoutingError
from esb.flow import Result
from esb.flow.result import Control
from tests.flow.conftest import Bench

OTHER = """\
    flow: other
    from: pos
    steps:
      - detour: {send: search.index}
        name: check
      - throttle: {messages: 1, per: 1s}
        name: slow
      - route: {by: country, table: carriers, among: {own: warehouse.note, partner: search.index}}
    """


@pytest.fixture
def two(bench: Bench) -> Bench:
    bench.write("flows/other.yaml", OTHER)
    return bench


def controls(result: Result) -> list[tuple[str, str, str, str | None]]:
    assert result.error is None, result.error
    return [(one.kind, one.name, one.key, one.value) for one in result.controls]


@pytest.mark.parametrize(
    ("step", "expected", "told"),
    [
        ("{pause: {endpoint: search}}", ("endpoint", "search", "", "paused"), "pause endpoint search"),
        ("{resume: {flow: other}}", ("flow", "other", "", None), "resume flow other"),
        ("{detour: {flow: other, step: check, active: true}}", ("detour", "other", "check", "on"), "on"),
        ("{detour: {flow: other, step: check, active: false}}", ("detour", "other", "check", "off"), "off"),
        ("{detour: {flow: other, step: check}}", ("detour", "other", "check", None), "as configured"),
        ("{throttle: {flow: other, step: slow, rate: 5/1m}}", ("throttle", "other", "slow", "5/1m"), "5/1m"),
        (
            "{route: {table: carriers, key: country, to: '\"own, partner\"'}}",
            ("table", "carriers", "GB", "own, partner"),
            "GB",
        ),
        ("{route: {table: carriers, key: country}}", ("table", "carriers", "GB", None), "as configured"),
    ],
)
def test_each_act(two: Bench, step: str, expected: tuple[str, str, str, str | None], told: str) -> None:
    """What is set, where, and to what; None takes it back."""
    result = two.run(f"- control: {step}")
    assert controls(result) == [expected]
    assert told in result.steps[0].outcome


def test_the_reason_comes_from_the_message(two: Bench) -> None:
    """Or else it is the message itself."""
    one, other = (
        two.run(f"- control: {{resume: {{flow: other}}{why}}}").controls[0]
        for why in ("", ", why: '\"for \" & ticket'")
    )
    assert isinstance(one, Control)
    assert (one.why, other.why) == ("message 0195d2a1-7c00-7000-8000-000000000001", "for 4711")


def test_a_word_that_means_nobody_fails_the_message(two: Bench) -> None:
    """A table takes no word that its steps do not know."""
    result = two.run("- control: {route: {table: carriers, key: country, to: ticket}}")
    assert isinstance(result.error, RoutingError)
    assert "'4711' means nobody: it is one of own, partner" in str(result.error)
    assert result.controls == ()


def test_what_fails_sets_nothing(two: Bench) -> None:
    """Also where something is done instead."""
    steps = "- try: [{control: {pause: {flow: other}}}, {filter: $error('no')}]\n  catch: {send: search.index}"
    assert controls(two.run(steps)) == []


def test_a_part_sets_what_it_says(two: Bench) -> None:
    """Parts are messages, too."""
    steps = "- split: {each: items, do: {control: {route: {table: carriers, key: sku, to: {const: own}}}}}"
    found = two.run(steps.replace("{const: own}", "'\"own\"'"))
    assert controls(found) == [("table", "carriers", "A", "own"), ("table", "carriers", "B", "own")]


@pytest.mark.parametrize(
    ("step", "kind", "piece"),
    [
        ("{pause: {endpoint: serch}}", "unknown-endpoint", "serch"),
        ("{pause: {flow: othr}}", "bad-value", "There is no flow 'othr'. Did you mean 'other'?"),
        ("{detour: {flow: other, step: chek}}", "bad-value", "has no detour of the name 'chek'. Did you mean 'check'?"),
        ("{throttle: {flow: other, step: check}}", "bad-value", "has no throttle of the name 'check'"),
        ("{throttle: {flow: other, step: slow, rate: fast}}", "bad-value", "no rate"),
        ("{route: {table: carier, key: country}}", "bad-value", "no routing table 'carier'"),
        ("{route: {table: carriers, key: contry}}", "unknown-path", "contry"),
        ("{pause: {flow: other}, resume: {flow: other}}", "bad-value", "one thing"),
        ("{pause: {}}", "bad-value", "say which"),
        ("{why: ticket}", "bad-value", "one thing"),
    ],
)
def test_what_is_meant_must_exist(two: Bench, step: str, kind: str, piece: str) -> None:
    """In whichever file it stands."""
    found = [finding for finding in two.check(f"- control: {step}").findings if finding.level == "error"]
    assert [finding.kind for finding in found] == [kind]
    assert piece in str(found[0])
