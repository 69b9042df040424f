"""What contracts hide: a mask that hides nothing is a mistake, and so is a key that shows what is hidden."""

from __future__ import annotations

import json

import pytest
from shops import Shop

ORDER = "contracts/order/v1.json"


def hide(shop: Shop, *paths: object, **more: object) -> None:
    """Give the order's contract an ``x-mask``."""
    schema = {**json.loads(shop.read(ORDER)), "x-mask": list(paths), **more}
    shop.write(ORDER, json.dumps(schema, indent=2))


def test_a_mask_that_leads_to_a_field_is_fine(shop: Shop) -> None:
    """By path, through lists, or to a header."""
    hide(shop, "lines[].sku", "lines.qty", "$message.headers.token")
    assert shop.findings() == []


def test_a_mask_that_leads_nowhere_names_the_nearest_field(shop: Shop) -> None:
    """At its own line in the contract."""
    hide(shop, "lines[].skuu")
    found = shop.only()
    line = 1 + next(n for n, text in enumerate(shop.read(ORDER).splitlines()) if "skuu" in text)
    assert (found.file, found.line, found.kind, found.hint) == (ORDER, line, "unknown-path", "sku")


@pytest.mark.parametrize("mask", ["lines[0].sku", "", "lines..sku", 7])
def test_a_mask_that_is_no_path_is_a_finding(shop: Shop, mask: object) -> None:
    """It says how one is written."""
    hide(shop, mask)
    assert shop.only().kind == "bad-contract"
    assert "such as" in shop.only().text


def test_the_business_key_cannot_be_hidden(shop: Shop) -> None:
    """People search by it, so it is shown everywhere."""
    hide(shop, "lines[].sku", **{"x-subject": "lines[0].sku"})
    assert "business key" in shop.only().text
