"""Steps for parts of a document: fields kept and left out, envelopes put on and taken off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esb.errors import ContractError, ExpressionError, MappingError
from esb.flow import Result
from tests.flow.conftest import SALE, Bench

ORDER = {"ticket": "1", "customer": {"id": "C", "name": "Ada"}, "lines": [{"sku": "A", "n": 1}, {"sku": "B", "n": 2}]}


def sent(result: Result) -> Any:
    assert result.error is None, result.error
    return json.loads(result.sends[0].message.body)


def through(bench: Bench, step: str, document: Any = ORDER) -> Any:
    return sent(bench.run(f"- {step}\n- send: search.index", document, source="open", type="open", version=0))


@pytest.mark.parametrize(
    ("fields", "kept", "left"),
    [
        ("[ticket]", {"ticket": "1"}, {"customer": ORDER["customer"], "lines": ORDER["lines"]}),
        (
            "[customer.id, lines.sku]",
            {"customer": {"id": "C"}, "lines": [{"sku": "A"}, {"sku": "B"}]},
            {"ticket": "1", "customer": {"name": "Ada"}, "lines": [{"n": 1}, {"n": 2}]},
        ),
        (
            "[customer.id, customer]",
            {"customer": ORDER["customer"]},
            {"ticket": "1", "lines": ORDER["lines"]},
        ),
        ("[nothing, ticket.deeper, lines.price]", {"lines": [{}, {}]}, ORDER),
    ],
)
def test_fields_are_kept_or_left_out(bench: Bench, fields: str, kept: Any, left: Any) -> None:
    """Also within objects and in each element of a list; one that is not there is no mistake."""
    assert through(bench, f"keep: {fields}") == kept
    assert through(bench, f"remove: {fields}") == left


@pytest.mark.parametrize("step", ["keep: [a]", "remove: [a]"])
def test_fields_belong_to_an_object(bench: Bench, step: str) -> None:
    """A list as a whole has none."""
    result = bench.run(f"- {step}\n- send: search.index", [1], source="open", type="open", version=0)
    assert isinstance(result.error, MappingError)


def test_paths_are_checked(bench: Bench) -> None:
    """Against the contract in force; behind keep only what was kept is there."""
    steps = "- remove: [tickt]\n- keep: [ticket]\n- filter: ticket = '1'\n- filter: country = 'GB'\n- keep: ['a b']"
    found = [(finding.line, finding.kind) for finding in bench.check(steps).findings if finding.level == "error"]
    assert found == [(4, "unknown-path"), (7, "unknown-path"), (8, "bad-value")]


@pytest.mark.parametrize("step", ["keep", "remove"])
def test_a_field_that_was_left_out_before_is_no_text(bench: Bench, step: str) -> None:
    """A list of fields holds no constants: the finding says what fields there are, not how to write a text."""
    found = [f for f in bench.check(f"- keep: [ticket]\n- {step}: [note]").findings if f.level == "error"]
    assert [(finding.line, finding.kind) for finding in found] == [(5, "unknown-path")]
    assert "There is no field 'note'" in found[0].text
    assert "const" not in found[0].text


def test_an_envelope_takes_the_document_and_says_what_is_needed_outside(bench: Bench) -> None:
    """The leaves of set see the document that goes in."""
    made = through(bench, "wrap: {as: body, set: {head: {for: customer.id, at: $now()}}}")
    assert made == {"head": {"for": "C", "at": "2026-01-01T00:00:00.000Z"}, "body": ORDER}
    assert through(bench, "wrap: {as: body}", [1]) == {"body": [1]}


def test_what_comes_out_of_an_envelope_can_take_something_along(bench: Bench) -> None:
    """The leaves of set see the envelope."""
    envelope = {"head": {"from": "shop"}, "body": {"ticket": "1"}}
    assert through(bench, "unwrap: body", envelope) == {"ticket": "1"}
    assert through(bench, "unwrap: {from: body, set: {origin: head.from}}", envelope) == {
        "ticket": "1", "origin": "shop"
    }  # fmt: skip


def test_an_empty_envelope_fails(bench: Bench) -> None:
    """Nothing is not quietly passed on."""
    result = bench.run("- unwrap: body\n- send: search.index", {}, source="open", type="open", version=0)
    assert "there is nothing in the envelope at `body`" in str(result.error)


@pytest.mark.parametrize(
    "step", ["wrap: {as: orderId, set: {country: {const: GB}}, to: order/v1}", "unwrap: {from: it, to: order/v1}"]
)
def test_with_a_contract_it_must_be_met(bench: Bench, step: str) -> None:
    """The document goes on under it, or the message fails."""
    steps = f"- {step}\n- publish: order/v1"
    result = bench.run(steps, {"it": {"orderId": "1", "country": "GB"}}, source="open", type="open", version=0)
    assert [event.message.contract for event in result.events] == ["order/v1"]
    failed = bench.run(
        steps.replace("country: {const", "land: {const"), {"it": {}}, source="open", type="open", version=0
    )
    assert isinstance(failed.error, ContractError)


def test_envelopes_are_checked(bench: Bench) -> None:
    """Contracts, expressions, and the fields of what goes on."""
    steps = """\
        - wrap: {as: body, set: {head: tickt}}
        - filter: head = "x"
        - filter: boddy.ticket = "x"
        - unwrap: {from: body, to: nothing/v1}
        - wrap: {as: a, set: {a: 1}}
        """
    found = [(finding.line, finding.kind) for finding in bench.check(steps).findings if finding.level == "error"]
    assert found == [(4, "unknown-path"), (6, "unknown-path"), (7, "unknown-contract"), (8, "bad-value")]


def test_a_lookup_adds_fields(bench: Bench) -> None:
    """By its second column, or the columns of a wider one; nothing waits."""
    bench.write("lookups/carriers.csv", "land,carrier,days\nGB,Parcel,2\n")
    result = bench.run("""\
        - enrich: {lookup: lookups/names.csv, key: country, set: {land: $answer}}
        - enrich: {lookup: lookups/carriers.csv, key: country, set: {by: $answer.carrier, days: $number($answer.days)}}
        - send: search.index
        """)
    assert sent(result) == {**SALE, "land": "Britain", "by": "Parcel", "days": 2}


def test_a_miss_fails_unless_something_stands_for_it(bench: Bench) -> None:
    """The error names file and key."""
    step = "- enrich: {lookup: lookups/names.csv, key: '\"FR\"', set: {land: $answer}}\n- send: search.index"
    failed = bench.run(step)
    assert isinstance(failed.error, ExpressionError)
    assert 'lookups/names.csv has no row for "FR"' in str(failed.error)
    assert sent(bench.run(step.replace("set:", "default: elsewhere, set:")))["land"] == "elsewhere"


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("{lookup: lookups/name.csv, key: country, set: {x: $answer}}", "unknown-lookup"),
        ("{lookup: lookups/names.csv, key: contry, set: {x: $answer}}", "unknown-path"),
        ("{lookup: lookups/wide.csv, key: country, set: {x: $answer.dayz}}", "unknown-path"),
        ("{lookup: lookups/names.csv, set: {x: $answer}}", "bad-value"),
        ("{lookup: lookups/names.csv, to: search.index, key: country, set: {x: $answer}}", "bad-value"),
        ("{lookup: lookups/names.csv, timeout: 1s, key: country, set: {x: $answer}}", "bad-value"),
        ("{set: {x: $answer}}", "bad-value"),
    ],
)
def test_lookups_are_checked(bench: Bench, step: str, kind: str) -> None:
    """The file, its columns, the key, and that it is one or the other."""
    bench.write("lookups/wide.csv", "land,carrier,days\nGB,Parcel,2\n")
    assert [finding.kind for finding in bench.check(f"- enrich: {step}").findings if finding.level == "error"] == [kind]
