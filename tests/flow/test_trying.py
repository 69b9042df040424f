"""The step try: what failed has sent nothing, and the message goes on."""

from __future__ import annotations

import pytest

from tests.flow.conftest import Bench, message
from tests.flow.test_calls import REFUSED, carried, document, shop  # noqa: F401 - a fixture

STEPS = """\
    - try:
        - send: search.index
        - set: {land: '$error("no map of " & country)'}
      catch:
        - set: {trouble: $error.text, at: $error.step}
        - send: warehouse.note
    - send: search.index
    """


def test_what_fails_is_caught(bench: Bench) -> None:
    """Nothing goes out of the steps that failed; `$error` tells why, and the message goes on behind the step."""
    result = bench.run(STEPS)
    assert [send.endpoint for send in result.sends] == ["warehouse", "search"]
    assert "no map of GB" in document(result)["trouble"]
    assert document(result)["at"] == "set"


def test_what_goes_well_is_not_touched(bench: Bench) -> None:
    """The steps of catch are not run."""
    result = bench.run(STEPS.replace("$error(", "(").replace('"no map of " & country', "country"))
    assert [send.endpoint for send in result.sends] == ["search", "search"]
    assert "trouble" not in document(result, 1)


def test_a_call_that_fails_is_caught(shop: Bench) -> None:  # noqa: F811
    """Also where the failure comes back on another leg, from a call in the middle of the steps."""
    flow = shop.flow("""\
        - try: [{call: stock.ask, as: stock}, {send: stock.tell}]
          catch: {set: {left: 0, why: $error.kind}}
        - send: search.index
        """)
    caught = flow.resume(carried(flow.run(message())), failure=REFUSED)
    assert [send.endpoint for send in caught.sends] == ["search"]
    assert document(caught)["why"] == "refused"
    assert len(flow.resume(carried(flow.run(message())), {"left": 1}).sends) == 2


def test_what_fails_behind_a_call_is_caught(shop: Bench) -> None:  # noqa: F811
    """The whole of the steps is within, not only the call."""
    flow = shop.flow("""\
        - try: [{call: stock.ask, as: stock}, {filter: stock.left}]
          catch: {send: search.index}
        """)
    assert len(flow.resume(carried(flow.run(message())), {"left": 1}).sends) == 1


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ("- try: {send: search.index}", "missing-key"),
        ("- {try: {send: search.nowhere}, catch: {send: search.index}}", "unknown-operation"),
        ("- {try: {send: search.index}, catch: {set: {x: $eror.text}}}", "unknown-path"),
        ("- {try: {do: {send: search.index}, catch: {send: warehouse.index}}}", "unknown-operation"),
    ],
)
def test_both_sides_are_checked(bench: Bench, steps: str, kind: str) -> None:
    """A try without a catch would do nothing; references and variables are checked on both sides."""
    assert [finding.kind for finding in bench.check(steps).findings] == [kind]
