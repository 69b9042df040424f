"""Recipients that the message brings about: named by it, or by a table that people change."""

from __future__ import annotations

import json

import pytest

from esb.errors import ExpressionError, RoutingError
from esb.flow import Result
from esb.flow.switches import Switches
from tests.flow.conftest import SALE, Bench, message

LIST = """\
    - recipients:
        by: to
        among:
          index: search.index
          both: [search.index, {to: warehouse.note, map: {set: {note: ticket}}}]
          order: {to: warehouse.order, map: to-warehouse}
    """


def named(bench: Bench, to: object, steps: str = LIST) -> Result:
    return bench.run(steps, {**SALE, "to": to}, source="open", type="open", version=0)


def goes_to(result: Result) -> list[str]:
    assert result.error is None, result.error
    return [f"{send.endpoint}.{send.operation}" for send in result.sends]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("index", ["search.index"]),
        (["order", "index"], ["warehouse.order", "search.index"]),
        ("both, order, order", ["search.index", "warehouse.note", "warehouse.order"]),
        ([], []),
        (None, []),
    ],
)
def test_the_message_names_its_recipients(bench: Bench, to: object, expected: list[str]) -> None:
    """A word, several with commas, or a list; each once, and nobody is no mistake."""
    assert goes_to(named(bench, to)) == expected


def test_each_recipient_has_its_own_mapping(bench: Bench) -> None:
    """As with send."""
    assert json.loads(named(bench, "order").sends[0].message.body) == {"id": "4711", "land": "Britain"}


def test_ids_do_not_depend_on_who_else_is_named(bench: Bench) -> None:
    """So a corrected message that names one more does not reach the others twice."""
    one = named(bench, ["order"]).sends[0].message.id
    assert named(bench, ["index", "order"]).sends[1].message.id == one
    assert len({send.message.id for send in named(bench, ["index", "both", "order"]).sends}) == 4


def test_a_word_nobody_answers_to_fails_and_nothing_goes_out(bench: Bench) -> None:
    """A typing error in a message must not lose it."""
    result = named(bench, ["index", "indx"])
    assert isinstance(result.error, RoutingError)
    assert '"indx" is to get the message, and there are only index, both, order' in str(result.error)
    assert result.sends == ()


def test_others_can_stand_in(bench: Bench) -> None:
    """With otherwise an unknown word is no failure, nor is none; they get it once."""
    steps = LIST.rstrip() + "\n        otherwise: warehouse.note\n"
    assert goes_to(named(bench, None, steps)) == ["warehouse.note"]
    assert goes_to(named(bench, ["a", "index", "b"], steps)) == [
        "warehouse.note", "search.index",
    ]  # fmt: skip


def test_words_are_texts(bench: Bench) -> None:
    """A number names nobody."""
    assert isinstance(named(bench, [1]).error, ExpressionError)


ROUTE = """\
    - route:
        by: country
        table: carriers
        rows: {GB: own, DE: "own, partner"}
        among: {own: warehouse.note, partner: search.index}
    """


def routed(bench: Bench, country: str, switches: Switches = Switches(), steps: str = ROUTE) -> Result:
    return bench.flow(steps).run(message({**SALE, "country": country}), switches=switches)


def test_a_table_says_where_a_message_goes(bench: Bench) -> None:
    """A row may name several."""
    assert goes_to(routed(bench, "GB")) == ["warehouse.note"]
    assert goes_to(routed(bench, "DE")) == ["warehouse.note", "search.index"]


def test_what_people_set_goes_before_what_is_stated(bench: Bench) -> None:
    """Row by row."""
    switches = Switches(tables={"carriers": {"GB": "partner", "FR": "own"}, "others": {"DE": "partner"}})
    assert goes_to(routed(bench, "GB", switches)) == ["search.index"]
    assert goes_to(routed(bench, "FR", switches)) == ["warehouse.note"]
    assert len(goes_to(routed(bench, "DE", switches))) == 2


def test_a_key_without_a_row_fails_and_says_how_to_make_one(bench: Bench) -> None:
    """Unless there is an otherwise."""
    assert 'the table carriers has no row for "FR": `esb tables set carriers`' in str(routed(bench, "FR").error)
    otherwise = ROUTE.rstrip() + "\n        otherwise: warehouse.note\n"
    assert goes_to(routed(bench, "FR", steps=otherwise)) == ["warehouse.note"]


def test_a_route_computed_again_is_what_it_was(bench: Bench) -> None:
    """A journey shows where the message went, whatever the table says by now."""
    past = Switches(tables={"carriers": {"GB": "partner"}}, past={"route:carriers": ("own",)})
    assert goes_to(routed(bench, "GB", past)) == ["warehouse.note"]


@pytest.mark.parametrize(
    ("steps", "line", "kind"),
    [
        ("- recipients: {by: tickt, among: {a: search.index}}", 4, "unknown-path"),
        ("- recipients: {by: ticket, among: {a: search.indx}}", 4, "unknown-operation"),
        ("- recipients: {by: ticket, among: {a: [search.index, {to: nobody}]}}", 4, "unknown-endpoint"),
        ("- recipients: {by: ticket, among: {a: {to: search.index, map: nothing}}}", 4, "unknown-mapping"),
        ("- recipients: {by: ticket, among: {a: search.index}, otherwise: searc.index}", 4, "unknown-endpoint"),
        ("- recipients: {by: ticket, among: {}}", 4, "bad-value"),
        ("- route: {by: tickt, table: t, among: {a: search.index}}", 4, "unknown-path"),
        ("- route: {by: ticket, table: t, rows: {x: b}, among: {a: search.index}}", 4, "bad-value"),
        ("- route: {by: ticket, among: {a: search.index}}", 4, "missing-key"),
    ],
)
def test_everybody_who_can_be_meant_is_checked(bench: Bench, steps: str, line: int, kind: str) -> None:
    """Words are computed, endpoints never."""
    found = [finding for finding in bench.check(steps).findings if finding.level == "error"]
    assert [(finding.line, finding.kind) for finding in found] == [(line, kind)]
