"""Steps that people switch on and off."""

from __future__ import annotations

import json

from esb.flow import Result
from esb.flow.switches import Rate, Switches
from tests.flow.conftest import Bench, message

STEPS = """\
    - detour:
        - set: {country: {const: FR}}
        - send: warehouse.note
      name: check
    - send: search.index
    """
ON, OFF = Switches(detours={"sales/check": True}), Switches(detours={"sales/check": False})


def run(bench: Bench, switches: Switches, steps: str = STEPS) -> Result:
    return bench.flow(steps).run(message(), switches=switches)


def countries(result: Result) -> list[str]:
    assert result.error is None, result.error
    return [json.loads(send.message.body)["country"] for send in result.sends]


def test_a_detour_is_taken_while_it_is_switched_on(bench: Bench) -> None:
    """Its document goes on behind it; without it the message passes by, as it does from the beginning."""
    assert countries(run(bench, ON)) == ["FR", "FR"]
    assert countries(run(bench, OFF)) == countries(run(bench, Switches())) == ["GB"]
    assert countries(run(bench, Switches(detours={"other/check": True}))) == ["GB"]


def test_it_can_be_active_from_the_beginning(bench: Bench) -> None:
    """Until somebody says otherwise."""
    steps = "- {detour: {active: true, do: {set: {country: {const: FR}}}}, name: check}\n- send: search.index"
    assert countries(run(bench, Switches(), steps)) == ["FR"]
    assert countries(run(bench, OFF, steps)) == ["GB"]


def test_the_journey_says_which_way(bench: Bench) -> None:
    """And computed again it is the same way, whatever is set by now."""
    taken, passed = run(bench, ON), run(bench, OFF)
    assert [result.steps[0].outcome for result in (taken, passed)] == ["taken", "passed by"]
    assert countries(run(bench, Switches(detours=OFF.detours, past={"check": ("taken",)}))) == ["FR", "FR"]
    assert countries(run(bench, Switches(detours=ON.detours, past={"check": ("passed by",)}))) == ["GB"]


def test_both_ways_are_known_to_the_check(bench: Bench) -> None:
    """References within, and behind it what either way leaves."""
    found = bench.check("- detour: {map: to-order}\n- filter: orderId = '1' or ticket = '1'\n- detour: {send: nobody}")
    assert [(finding.line, finding.kind) for finding in found.findings if finding.level == "error"] == [
        (6, "unknown-endpoint")
    ]


def test_rates_are_read() -> None:
    """So many in a time; what makes no sense is no rate."""
    assert Rate.read("10/1s") == Rate(10, 1.0)
    assert Rate.read("5 / 2m") == Rate(5, 120.0)
    assert Rate.read(str(Rate(3, 0.5))) == Rate(3, 0.5)
    assert [Rate.read(text) for text in ("0/1s", "10", "x/1s", "10/x", "10/0s", "-1/1s")] == [None] * 6
