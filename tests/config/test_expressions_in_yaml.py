"""Expressions inside YAML: what the parser cut or mangled, and what the contract in force does not know."""

from __future__ import annotations

import pytest
from shops import Shop, place

MAPPING = "mappings/pos-sale-to-order.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "column"),
    [
        (MAPPING, "$sum(items.price)", '"a #1" & ticket', 12, 10),
        (MAPPING, "$sum(items.price)", "`items`", 12, 10),
        (MAPPING, "$sum(items.price)", "n > 1 ? n : 2", 12, 10),
        (MAPPING, "$sum(items.price)", "%.x", 12, 10),
        (MAPPING, "code, qty", "a ? b : c, qty", 11, 16),
        ("flows/archive.yaml", "total > 10", '"x" = note', 4, 13),
        (MAPPING, "$sum(items.price)", "ticket & ' #1'", 12, 21),
        (MAPPING, "$sum(items.price)", "items #$i.price", 12, 16),
    ],
)
def test_expression_that_yaml_mangled(shop: Shop, file: str, old: str, new: str, line: int, column: int) -> None:
    """Each points at the expression (or at the ``#`` that cut it) and says: single quotes."""
    shop.edit(file, old, new)
    found = shop.only()
    assert place(found) == f"{file}:{line}:{column} mangled-expression"
    assert "single quotes" in found.text


def test_a_comment_behind_a_whole_expression_is_a_comment(shop: Shop) -> None:
    """Only what no longer parses was cut."""
    shop.edit(MAPPING, "$sum(items.price)", "$sum(items.price) # of all lines")
    assert shop.findings() == []


def test_mapping_where_an_expression_belongs(shop: Shop) -> None:
    """Braces make a mapping in YAML; a condition is text."""
    shop.edit("flows/archive.yaml", "total > 10", "{when: {a: b}}")
    assert place(shop.only()) == "flows/archive.yaml:4:20 wrong-type"


@pytest.mark.parametrize(
    ("old", "new", "where", "kind", "hint"),
    [
        ("$countries(cc)", "$countrys(cc)", "8:40", "unknown-function", "$countries"),
        ("$sum(items.price)", "$summ(items.price)", "12:10", "unknown-function", "$sum"),
        ("$parent.ticket", "$parent.tickets", "11:55", "unknown-path", "ticket"),
        ("$parent.ticket", "$parents.ticket", "11:47", "unknown-path", "$parent"),
        ("$sum(items.price)", "$random()", "12:10", "bad-expression", ""),
        ("sku: code", "sku: ticket", "11:16", "bare-constant", ""),
        ("customer_no", "customerno", "8:18", "unknown-path", "customer_no"),
        ("customer_no", "items.code.x", "8:29", "unknown-path", ""),
        ("  orderId:", "  orderld:", "6:3", "unknown-path", "orderId"),
        ("qty:", "quantity:", "11:22", "unknown-path", ""),
        ("{from: remark,", "{from: remarks,", "13:16", "unknown-path", "remark"),
        ('default: ""}', 'defualt: ""}', "13:24", "unknown-key", "default"),
        ("  orderId: '\"SO-\" & ticket'\n", "", "5:1", "missing-key", ""),
    ],
)
def test_mistake_in_a_mapping(shop: Shop, old: str, new: str, where: str, kind: str, hint: str) -> None:
    """Every leaf is checked against the source contract, every field against the target's."""
    shop.edit(MAPPING, old, new)
    errors = [f for f in shop.findings() if f.level == "error"]
    assert [place(f) for f in errors] == [f"{MAPPING}:{where} {kind}"]
    assert errors[0].hint == hint


@pytest.mark.parametrize(
    ("old", "new", "where", "kind"),
    [
        ('customer.country = "GB"', 'customer.contry = "GB"', "6:25", "unknown-path"),
        ('customer.country = "GB"', 'ticket = "GB"', "6:16", "unknown-path"),
        ("region: '\"EU\"'", "region: EU", "8:27", "bare-constant"),
        ("- map: pos-sale-to-order", "- filter: total > 1", "4:13", "unknown-path"),
        ("- map: pos-sale-to-order", "- filter: 5", "4:13", "wrong-type"),
        ("- map: pos-sale-to-order", "- map: {to: order/v1, set: {orderId: tickets}}", "4:40", "unknown-path"),
        ("- map: pos-sale-to-order", "- map: {to: order/v9, set: {orderId: ticket}}", "4:15", "unknown-contract"),
        ("- map: pos-sale-to-order", "- map: pos-sale-to-orders", "4:10", "unknown-mapping"),
        ("order.placed/v1", "order.place/v1", "10:14", "unknown-contract"),
    ],
)
def test_mistake_in_a_flow(shop: Shop, old: str, new: str, where: str, kind: str) -> None:
    """The contract in force at a step is the source's, then each mapping's target, also inside a branch."""
    shop.edit("flows/sales.yaml", old, new)
    errors = [f for f in shop.findings() if f.level == "error"]
    assert place(errors[0]) == f"flows/sales.yaml:{where} {kind}"
    assert len({f.line for f in errors}) == len(errors), "one mistake, one finding"


def test_two_mistakes_in_one_expression(shop: Shop) -> None:
    """Each has its own caret."""
    shop.edit("flows/archive.yaml", "total > 10", "totl > 10 and curency = note")
    assert [place(f) for f in shop.findings()] == [
        "flows/archive.yaml:4:13 unknown-path",
        "flows/archive.yaml:4:27 unknown-path",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("|\n      total > 1\n      and totl < 2\n", 6, 11),
        ('"total > 1 and totl < 2"', 4, 28),
        ("'total > 1 and note = ''x'' and totl < 2'", 4, 45),
    ],
)
def test_caret_inside_quotes_and_blocks(shop: Shop, text: str, line: int, column: int) -> None:
    """The column is that of the character in the file, whatever the style of the scalar."""
    shop.edit("flows/archive.yaml", "total > 10", text)
    assert place(shop.only()) == f"flows/archive.yaml:{line}:{column} unknown-path"


def test_contract_that_is_open_lets_any_path_pass(shop: Shop) -> None:
    """``additionalProperties: true`` says that there is more than is listed."""
    shop.edit("flows/archive.yaml", "total > 10", "surprise > 10")
    shop.edit(
        "contracts/order/v1.json", '"type": "object",\n  "required": ["orderId"],', '"additionalProperties": true,'
    )
    assert shop.findings() == []


def test_mapping_made_for_another_contract(shop: Shop) -> None:
    """A mapping may be used on another contract, as long as all it reads is there."""
    shop.edit("flows/archive.yaml", "filter: total > 10", "map: pos-sale-to-order")
    found = shop.only()
    assert place(found) == "flows/archive.yaml:4:10 unknown-path"
    assert "order.placed/v1" in found.text


def test_nothing_is_known_behind_a_step_that_cannot_be_read(shop: Shop) -> None:
    """One mistake does not make the paths behind it mistakes too."""
    shop.edit("flows/sales.yaml", "- map: pos-sale-to-order", "- mapp: pos-sale-to-order")
    found = shop.only()
    assert place(found) == "flows/sales.yaml:4:5 unknown-step"
    assert found.hint == "map"
