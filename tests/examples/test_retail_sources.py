"""The stand-ins that bring messages in: ERP and web shop. The tills have a file of their own."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from standins import served

from esb.config import Definition
from esb.discovery import discover
from esb.examples.retail.systems import erp, service, shoppers


def test_the_erp_writes_what_it_says(definition: Definition) -> None:
    """Read with the endpoint's own format, the files hold every level, and one trailer does not fit."""
    endpoint = definition.endpoints["erp"]
    layout = discover().formats[endpoint.format](endpoint.format_settings)
    files, expected = erp.plan()
    assert erp.plan() == (files, expected)
    levels: dict[str, int] = {}
    wrong = []
    for name, content in files:
        for record in layout.read(io.BytesIO(content)):
            if record.error:
                wrong.append(name)
            else:
                levels[f"{record.document['warehouse']}/{record.document['article']}"] = record.document["pieces"]
    assert (levels, wrong) == (expected.levels, expected.wrong)
    assert "STOCK".encode(erp.CODE_PAGE) not in files[0][1]
    assert b"T-100" not in files[0][1]


def test_every_order_is_expected_somewhere() -> None:
    """Each kind of trouble occurs; accepted ones are confirmed or cancelled, the malformed are refused."""
    orders, expected = shoppers.plan(100)
    assert len(expected.accepted) + len(expected.refused) == len(orders) == 100
    assert sorted(expected.confirmed + expected.cancelled) == expected.accepted
    assert min(len(expected.refused), *(len(expected.fates[fate]) for fate in shoppers.TROUBLES[:-1])) >= 1
    assert shoppers.plan(100)[0] == orders != shoppers.plan(100, seed=2)[0]


def test_too_few_orders_are_refused() -> None:
    """Fewer than 20 have no room for every kind of trouble."""
    with pytest.raises(ValueError, match="at least 20"):
        shoppers.plan(19)


def test_an_order_without_an_answer_is_posted_again() -> None:
    """503 and a cut line are no answers; the order goes again under its key until the bus has it."""
    seen: list[tuple[str, Any]] = []

    class Door(service.Handler):
        def do_POST(self) -> None:
            document = json.loads(self.body())
            earlier = [one for one in seen if one[1]["number"] == document["number"]]
            seen.append((self.key, document))
            if not earlier:
                self.answer(503, {})
            elif len(earlier) == 1:
                self.hang_up()
            else:
                self.answer(202, {"status": "accepted" if len(earlier) == 2 else "duplicate"})

    planned = shoppers.plan(20)[0]
    once = next(order for order in planned if not order.fate)
    twice = next(order for order in planned if order.fate == shoppers.TWICE)
    with served(Door) as url:
        said = shoppers.post(url + "/shop/orders", [once, twice], "token")
    assert {key for key, _ in seen} == {f"web-{once.number}", f"web-{twice.number}"}
    assert said == {once.number: ["accepted"], twice.number: ["accepted", "duplicate"]}
