"""Twelve mistakes that people make: each is one finding, at the very place, with the way out."""

from __future__ import annotations

from shops import Shop, place


def test_correct_directory_has_no_findings(shop: Shop) -> None:
    """What is right is left in peace."""
    assert shop.findings() == []
    assert shop.findings("prod") == []


def test_typo_in_a_key(shop: Shop) -> None:
    """A misspelt key is one finding, though the key it should be is missing too."""
    shop.edit("endpoints/pos.yaml", "adapter: files", "adaptr: files")
    found = shop.only()
    assert place(found) == "endpoints/pos.yaml:3:1 unknown-key"
    assert found.hint == "adapter"


def test_unknown_endpoint(shop: Shop) -> None:
    """A send to an endpoint that is not there names the nearest."""
    shop.edit("flows/archive.yaml", "archive.write", "archiv.write")
    found = shop.only()
    assert place(found) == "flows/archive.yaml:5:11 unknown-endpoint"
    assert found.hint == "archive.write"


def test_wrong_type(shop: Shop) -> None:
    """A word where a number belongs."""
    shop.edit("endpoints/pos.yaml", "owner: retail-ops", "concurrency: four")
    found = shop.only()
    assert place(found) == "endpoints/pos.yaml:4:14 wrong-type"
    assert found.value == "four"
    assert "whole number" in found.text


def test_bad_expression(shop: Shop) -> None:
    """A syntax error is shown at its character inside the YAML scalar."""
    shop.edit("mappings/pos-sale-to-order.yaml", "$sum(items.price)", "$sum(items.price")
    found = shop.only()
    assert place(found) == "mappings/pos-sale-to-order.yaml:12:25 bad-expression"


def test_misspelt_path(shop: Shop) -> None:
    """A path that the contract does not know, deep in a list, names the nearest field."""
    shop.edit("mappings/pos-sale-to-order.yaml", "$sum(items.price)", "$sum(items.prise)")
    found = shop.only()
    assert place(found) == "mappings/pos-sale-to-order.yaml:12:21 unknown-path"
    assert found.hint == "price"


def test_bare_constant(shop: Shop) -> None:
    """A word that was meant as text would silently give nothing."""
    shop.edit("mappings/pos-sale-to-order.yaml", "{const: GBP}", "GBP")
    found = shop.only()
    assert place(found) == "mappings/pos-sale-to-order.yaml:7:13 bare-constant"
    assert "{const: GBP}" in found.text


def test_missing_lookup(shop: Shop) -> None:
    """A lookup whose file is not there."""
    shop.edit("mappings/pos-sale-to-order.yaml", "lookups/countries.csv", "lookups/country.csv")
    found = [f for f in shop.findings() if f.level == "error"]
    assert [place(f) for f in found] == ["mappings/pos-sale-to-order.yaml:4:22 unknown-lookup"]
    assert found[0].hint == "lookups/countries.csv"


def test_duplicate_key(shop: Shop) -> None:
    """The second of two equal keys, and the line of the first."""
    shop.edit("endpoints/pos.yaml", "owner: retail-ops", "title: Tills")
    found = shop.only()
    assert place(found) == "endpoints/pos.yaml:4:1 duplicate-key"
    assert "line 2" in found.text


def test_tab(shop: Shop) -> None:
    """A tab as indentation, without a word about what the unreadable file would have defined."""
    shop.edit("endpoints/warehouse.yaml", "  cancel:", "\tcancel:")
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:7:1 yaml-syntax"
    assert "tab" in found.text


def test_missing_secret(shop: Shop) -> None:
    """A secret whose variable is not set."""
    del shop.environ["WAREHOUSE_TOKEN"]
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:3:52 missing-secret"
    assert found.value == "WAREHOUSE_TOKEN"


def test_absent_contract(shop: Shop) -> None:
    """A version of a contract that does not exist."""
    shop.edit("endpoints/warehouse.yaml", "contract: order/v1", "contract: order/v2")
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:6:36 unknown-contract"
    assert found.hint == "order/v1"


def test_loop(shop: Shop) -> None:
    """A flow that publishes the event it starts from."""
    shop.edit("flows/archive.yaml", "  - send: archive.write", "  - publish: order.placed/v1")
    found = shop.only()
    assert place(found) == "flows/archive.yaml:5:14 loop"
    assert "order.placed/v1" in found.text
