"""`esb map`: what a mapping makes of a document, in any format, rule by rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from processes import Esb

Run = Callable[..., Result]
ROW = {"number": "1001", "customer": "Ada", "sku": "MUG-1", "quantity": 2, "price": 7.95}


@pytest.fixture
def row(tmp_path: Path) -> Path:
    """A document."""
    (tmp_path / "row.json").write_text(json.dumps(ROW))
    return tmp_path / "row.json"


def extend(shop: Path, rules: str, **properties: object) -> None:
    """More rules in the mapping, and more fields in its target."""
    schema = shop / "contracts" / "order" / "v1.json"
    target = json.loads(schema.read_text())
    target["properties"] |= properties
    schema.write_text(json.dumps(target))
    mapping = shop / "mappings" / "row-to-order.yaml"
    mapping.write_text(mapping.read_text() + rules)


def test_the_result_is_on_standard_output(esb: Run, shop: Path, row: Path) -> None:
    """As JSON; from a file, or from standard input."""
    result = esb("map", "-C", shop, "row-to-order", row)
    assert (result.exit_code, json.loads(result.stdout)["orderId"], result.stderr) == (0, "O-1001", "")
    assert json.loads(esb("map", "-C", shop, "row-to-order", input=json.dumps(ROW)).stdout)["total"] == 15.9


def test_any_format_in_and_out(esb: Run, shop: Path, tmp_path: Path) -> None:
    """By the suffix of the file, by a format's name, or as an endpoint does it."""
    csv = tmp_path / "rows.csv"
    csv.write_text("number,customer,sku,quantity,price\n1,Ada,MUG-1,2,7.95\n2,Bob,MUG-1,1,7.95\n")
    result = esb("map", "-C", shop, "row-to-order", csv, "--in", "orders-in")
    assert result.stdout.count("orderId") == 2
    out = esb("map", "-C", shop, "row-to-order", csv, "--in", "orders-in", "--out", "xml")
    assert (out.exit_code, "O-1" in out.stdout) == (1, False)  # XML needs to know its root
    assert esb("map", "-C", shop, "row-to-order", csv).stdout == result.stdout  # as who receives it reads it
    text = esb(
        "map", "-C", shop, "row-to-order", csv, "--in", "csv"
    )  # read as CSV: all texts, which the contract notices
    assert (text.exit_code, "/quantity" in text.stderr) == (1, True)
    unknown = esb("map", "-C", shop, "row-to-order", csv, "--in", "csw")
    assert (unknown.exit_code, "did you mean 'csv'?" in unknown.stderr) == (3, True)
    assert esb("map", "-C", shop, "row-to-ordr", csv).exit_code == 3


def test_a_trace_tells_of_each_rule(esb: Run, shop: Path, row: Path) -> None:
    """Its place in the file, what it read, what it made; for programs as JSON."""
    lines = esb("map", "-C", shop, "row-to-order", row, "--trace").stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("orderId"))
    assert lines[at].split()[1:] == ['"O-1001"', "mappings/row-to-order.yaml:9"]
    assert lines[at + 1] == '    "O-" & number  (number is "1001")'
    (told,) = json.loads(esb("map", "-C", shop, "row-to-order", row, "--json").stdout)
    rule = next(rule for rule in told["rules"] if rule["path"] == "orderId")
    assert (rule["made"], rule["reads"], rule["where"]) == (
        "O-1001",
        {"number": '"1001"'},
        "mappings/row-to-order.yaml:9",
    )


def test_a_rule_that_made_nothing_says_why(esb: Run, shop: Path, row: Path) -> None:
    """And one that failed is the last."""
    extend(shop, "  gone: note\n  bad: $number(sku)\n", gone={}, bad={})
    result = esb("map", "-C", shop, "row-to-order", row, "--trace")
    assert 'note           "" (the default: `note` gives nothing)  mappings/row-to-order.yaml:' in result.stdout
    assert "gone           left out: `note` gives nothing  mappings/" in result.stdout
    assert result.exit_code == 1
    assert result.stdout.rstrip().splitlines()[-1] == '    $number(sku)  (sku is "MUG-1")'


def test_what_is_not_read_and_not_set_is_told(esb: Run, shop: Path, tmp_path: Path) -> None:
    """Fields of the document and its contract; fields of the target, with the reason where a rule has one."""
    (tmp_path / "row.json").write_text(json.dumps(ROW | {"colour": {"name": "red", "code": 7}}))
    extend(shop, "  paid: note\n", gift={"type": "boolean"}, paid={"type": "string"})
    result = esb("map", "-C", shop, "row-to-order", tmp_path / "row.json")
    assert "not read: colour\n" in result.stderr
    assert "not set: gift: no rule makes it\n" in result.stderr
    assert "not set: paid: left out: `note` gives nothing\n" in result.stderr


def test_again_when_a_file_changes(start: Callable[..., Esb], shop: Path, row: Path) -> None:
    """The mapping's, or the document's."""
    watching = start("map", "-C", shop, "row-to-order", row, "--watch")
    watching.wait_for("O-1001")
    row.write_text(json.dumps(ROW | {"number": "1002"}))
    watching.wait_for("O-1002")
    mapping = shop / "mappings" / "row-to-order.yaml"
    mapping.write_text(mapping.read_text().replace("const: EUR", "const: USD"))
    watching.wait_for("USD")
    assert watching.stop() != 0


def test_standard_input_cannot_be_watched(esb: Run, shop: Path) -> None:
    """It comes only once."""
    assert esb("map", "-C", shop, "row-to-order", "--watch", input="{}").exit_code == 2
