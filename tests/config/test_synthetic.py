"""Test messages in the files: what is found wrong, and where."""

from __future__ import annotations

import pytest
from shops import Shop, place

FLOW = """\
flow: report
from: order.placed/v1
test_message:
  {line}
steps:
  - filter: total > 0
"""
GOOD = "document: {orderId: TEST-1, currency: EUR}"


@pytest.mark.parametrize(
    ("line", "where", "says"),
    [
        (GOOD + "\n  every: 0", "5:10 bad-value", "less than a second"),
        (GOOD + '\n  schedule: "0 25 * * *"', "5:13 bad-value", "the hour '25'"),
        (GOOD + "\n  reaches: [warehous]", "5:13 unknown-endpoint", "There is no endpoint 'warehous'"),
        (GOOD + "\n  wihtin: 5s", "5:3 unknown-key", "no key 'wihtin'"),
        ("document: {orderId: 7}", "4:13 bad-value", "A test message that is refused tests nothing"),
        ("within: 5s", "4:3 missing-key", "document"),
    ],
)
def test_what_is_wrong_is_found(shop: Shop, line: str, where: str, says: str) -> None:
    """At the value, with the sentence that helps."""
    shop.write("flows/report.yaml", FLOW.format(line=line))
    found = shop.only()
    assert place(found) == f"flows/report.yaml:{where}"
    assert says in found.text


def test_a_reply_in_place_of_an_answer_meets_its_contract(shop: Shop) -> None:
    """Otherwise every test message would fail at the call."""
    shop.write("contracts/left/v1.json", '{"type": "object", "required": ["left"]}')
    shop.write(
        "endpoints/stock.yaml",
        "endpoint: stock\nadapter: hearing\nsettings: {url: x}\noperations:\n"
        "  look: {post: /stock, reply: left/v1, effect: none, test_reply: {right: 1}}\n",
    )
    found = shop.only()
    assert place(found) == "endpoints/stock.yaml:5:66 bad-value"
