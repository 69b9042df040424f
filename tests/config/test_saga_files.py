"""Sagas in YAML: what they may say, and where each mistake is shown."""

from __future__ import annotations

import pytest
from parts import components
from shops import Shop, place

from esb.config.schemas import schemas

SAGA = """\
saga: checkout
from: order.placed/v1
key: orderId
timeout: 10m
steps:
  - {name: reserve, call: stock.reserve, with: {set: {id: orderId}}, as: reservation, compensate: stock.release}
  - name: charge
    call: stock.charge
    timeout: 30s
    compensate: {call: stock.refund, with: {set: {id: reservation.reservationId}}, recovery: {delays: [1m]}}
  - {name: ship, call: stock.ship, pivot: true}
completed: {publish: order.confirmed/v1, with: {set: {orderId: orderId, place: reservation.place}}}
"""
STOCK = """\
endpoint: stock
adapter: hearing
settings: {url: http://stock}
operations:
  reserve: {post: /reserve, reply: reserved/v1}
  release: {post: /release}
  charge: {post: /charge}
  refund: {post: /refund}
  ship: {post: /ship}
"""
RESERVED = '{"type": "object", "properties": {"reservationId": {"type": "string"}, "place": {"type": "string"}}}'
CONFIRMED = '{"type": "object", "properties": {"orderId": {"type": "string"}, "place": {"type": "string"}}}'


@pytest.fixture
def checkout(shop: Shop) -> Shop:
    """A correct saga in the shop."""
    shop.write("sagas/checkout.yaml", SAGA)
    shop.write("endpoints/stock.yaml", STOCK)
    shop.write("contracts/reserved/v1.json", RESERVED)
    shop.write("contracts/order.confirmed/v1.json", CONFIRMED)
    return shop


def test_a_saga_is_loaded(checkout: Shop) -> None:
    """With its steps, their compensations in either form, and its times in seconds."""
    assert checkout.findings() == []
    saga = checkout.definition().sagas["checkout"]
    assert (saga.source, saga.key, saga.timeout, saga.is_event) == ("order.placed/v1", "orderId", 600.0, True)
    assert [step.name for step in saga.steps] == ["reserve", "charge", "ship"]
    assert [step.compensate and step.compensate.call for step in saga.steps] == ["stock.release", "stock.refund", None]
    assert saga.steps[1].compensate.recovery.delays == (60.0,)
    assert (saga.lines, saga.completed.publish) == ((6, 7, 11), "order.confirmed/v1")


@pytest.mark.parametrize(
    ("old", "new", "found", "hint"),
    [
        ("from: order.placed/v1", "from: order.plced/v1", "2:7 unknown-contract", "order.placed/v1"),
        ("key: orderId\n", "", "1:1 missing-key", ""),
        ("key: orderId", "key: oderId", "3:6 unknown-path", "orderId"),
        ("call: stock.reserve", "call: stok.reserve", "6:27 unknown-endpoint", "stock.reserve"),
        ("compensate: stock.release", "compensate: stock.relase", "6:99 unknown-operation", "stock.release"),
        ("compensate: stock.release", "compensate: stock", "6:99 unknown-operation", ""),
        ("{call: stock.refund", "{call: stock.refnd", "10:24 unknown-operation", "stock.refund"),
        ("{id: orderId}", "{id: orderID}", "6:59 unknown-path", "orderId"),
        ("reservation.reservationId", "reservation.reservationID", "10:67 unknown-path", "reservationId"),
        ("reservation.place", "reservation.palce", "12:92 unknown-path", "place"),
        ("publish: order.confirmed/v1", "publish: order.confirmd/v1", "12:22 unknown-contract", "order.confirmed/v1"),
        ("with: {set: {id: orderId}}", "with: to-nowhere", "6:48 unknown-mapping", ""),
        ("name: charge", "name: reserve", "7:11 duplicate-name", ""),
        ("timeout: 30s", "timeout: 30s\n    pivot: true", "12:43 bad-value", ""),
        ("pivot: true", "pivto: true", "11:36 unknown-key", "pivot"),
        ("timeout: 10m", "timeout: soon", "4:10 bad-value", ""),
        ("steps:\n", "stepps:\n", "5:1 unknown-key", "steps"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_stands(checkout: Shop, old: str, new: str, found: str, hint: str) -> None:
    """Each gives one error, at its line and column, with the nearest valid word."""
    checkout.edit("sagas/checkout.yaml", old, new)
    (error,) = [finding for finding in checkout.findings() if finding.level == "error"]
    assert place(error) == f"sagas/checkout.yaml:{found}"
    assert error.hint == hint


def test_a_compensation_behind_the_pivot_does_nothing(checkout: Shop) -> None:
    """That is a warning: it misleads whoever reads it."""
    checkout.edit("sagas/checkout.yaml", "pivot: true", "pivot: true, compensate: stock.release")
    found = checkout.only()
    assert (place(found), found.level) == ("sagas/checkout.yaml:11:49 unused", "warning")


def test_a_saga_that_starts_itself(checkout: Shop) -> None:
    """Its own event would begin it again, without end."""
    checkout.edit("sagas/checkout.yaml", "{publish: order.confirmed/v1,", "{publish: order.placed/v1,")
    found = [finding for finding in checkout.findings() if finding.kind == "loop"]
    assert [place(finding) for finding in found] == ["sagas/checkout.yaml:12:22 loop"]


def test_an_endpoint_that_receives_nothing_starts_no_saga(checkout: Shop) -> None:
    """A saga may start at an endpoint, where that one takes messages in."""
    checkout.edit("sagas/checkout.yaml", "from: order.placed/v1", "from: stock")
    assert place(checkout.findings()[0]) == "sagas/checkout.yaml:2:7 unreachable-flow"
    checkout.edit("sagas/checkout.yaml", "from: stock", "from: pos")
    assert all(finding.kind != "unreachable-flow" for finding in checkout.findings())


def test_editors_get_a_schema() -> None:
    """A compensation is a text or a mapping there, as in the loader."""
    schema = schemas(components())["saga"]
    assert set(schema["required"]) == {"saga", "from", "key", "steps"}
    assert len(schema["$defs"]["Compensation"]["anyOf"]) == 2
