"""Flows that keep the order of their messages: what is found wrong, and where."""

from __future__ import annotations

import pytest
from shops import Shop, place


def ordered(shop: Shop, ordering: str, *steps: str) -> None:
    """A flow of its own."""
    body = "".join(f"  - {step}\n" for step in steps or ("publish: order.placed/v1",))
    shop.write("flows/kept.yaml", f"flow: kept\nfrom: pos\nordering: {ordering}\nsteps:\n{body}")


@pytest.mark.parametrize("written", ["ticket", "{by: ticket}"])
def test_a_key_is_an_expression(shop: Shop, written: str) -> None:
    """Short, or with its name."""
    ordered(shop, written)
    assert shop.definition().flows["kept"].ordering == "ticket"


@pytest.mark.parametrize(
    ("ordering", "step", "where", "says"),
    [
        ("tickte", "publish: order.placed/v1", "3:11 unknown-path", "tickte"),
        ("{by: ticket, n: 3}", "publish: order.placed/v1", "3:24 unknown-key", "no key 'n'"),
        ("ticket", "delay: 5s", "5:5 unsupported", "messages wait in it"),
        ("ticket", "split: {each: items, do: []}", "5:5 unsupported", "together: true"),
    ],
)
def test_what_is_wrong_with_it(shop: Shop, ordering: str, step: str, where: str, says: str) -> None:
    """The key must be there, and no step may let one message pass another."""
    ordered(shop, ordering, step, "publish: order.placed/v1")
    found = next(f for f in shop.findings() if f.file == "flows/kept.yaml")
    assert place(found) == f"flows/kept.yaml:{where}"
    assert says in found.text


def test_parts_that_stay_together_keep_their_order(shop: Shop) -> None:
    """All of them, or none."""
    ordered(shop, "ticket", "split: {each: items, together: true, do: [{filter: 'true'}]}", "publish: order.placed/v1")
    assert not [f for f in shop.findings() if f.kind == "unsupported"]
