"""The web shop's customers: post their orders to the bus, some twice, some that nobody can fulfil.

``python -m esb.examples.retail.systems.shoppers http://127.0.0.1:8480/shop/orders --orders 100``

Each order goes as JSON, with its number as Idempotency-Key and WEBSHOP_TOKEN of the environment as bearer token. An
order that was not answered (nobody listens, 503) is posted again under the same key, as any careful client does. Same
seed, same orders. What is printed on standard output is what the bus answered, as JSON: order number -> the words.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from esb.examples.retail.systems.courier import NO_VAN
from esb.examples.retail.systems.payments import DECLINED, SLOW
from esb.examples.retail.systems.tills import ARTICLES, DISCONTINUED, NAMES

LEAST = 20  # orders; fewer have no room for every kind of trouble
PATIENCE = 90.0  # seconds until an order must have been answered
SHOPPERS = 4  # at once
PLACES = (("London", "EC1A 1BB"), ("Leeds", "LS1 4DY"), ("Bath", "BA1 1SU"), ("Aberdeen", "AB10 1AB"))
SPARSE = ("Stornoway", f"{NO_VAN}1 2AA")

DECLINE, NO_CAPACITY, NO_STOCK, LATE = "declined", "no capacity", "no stock", "late answer"
TWICE, MALFORMED = "sent twice", "malformed"
TROUBLES = (DECLINE, NO_CAPACITY, NO_STOCK, LATE, TWICE, MALFORMED)


@dataclass(frozen=True)
class Order:
    """One order of a customer, and what is special about it, if anything."""

    number: str
    fate: str
    document: dict[str, Any]

    @property
    def order_id(self) -> str:
        """The number that it has in all other systems."""
        return f"WO-{self.number}"


@dataclass(frozen=True)
class Expected:
    """What must become of the web shop's orders.

    Attributes:
        amounts: order number -> total, of all that are accepted.
        fates: what is special -> order numbers.
        refused: shop's numbers of those that the bus refuses at its door.
    """

    amounts: dict[str, float]
    fates: dict[str, list[str]]
    refused: list[str]

    @property
    def accepted(self) -> list[str]:
        """Order numbers that come in."""
        return sorted(self.amounts)

    @property
    def confirmed(self) -> list[str]:
        """Order numbers that are paid for and shipped."""
        cancelled = set(self.cancelled)
        return [order for order in self.accepted if order not in cancelled]

    @property
    def cancelled(self) -> list[str]:
        """Order numbers whose checkout is undone."""
        return sorted(order for fate in (DECLINE, NO_CAPACITY, NO_STOCK) for order in self.fates[fate])


def plan(orders: int = 100, seed: int = 1) -> tuple[list[Order], Expected]:
    """Make up the orders. Pure: the same arguments give the same.

    Raises:
        ValueError: fewer than 20 orders have no room for every kind of trouble.
    """
    if orders < LEAST:
        raise ValueError(f"at least {LEAST} orders are needed, for every kind of trouble to occur: {orders} given")
    chance = random.Random(f"shop {seed}")
    made = [_order(number, fate, chance) for number, fate in enumerate(_fates(orders, chance), start=1001)]
    accepted = [order for order in made if order.fate != MALFORMED]
    fates = {fate: [order.order_id for order in accepted if order.fate == fate] for fate in TROUBLES}
    amounts = {order.order_id: order.document["total"] for order in accepted}
    return made, Expected(amounts, fates, [order.number for order in made if order.fate == MALFORMED])


def post(url: str, orders: Sequence[Order], token: str) -> dict[str, list[str]]:
    """Post all orders, and then once more those that are sent twice. Returns what was answered: number -> words."""
    with ThreadPoolExecutor(SHOPPERS) as pool:
        answers = list(pool.map(lambda order: _settle(url, order, token), orders))
    said = {order.number: [answer] for order, answer in zip(orders, answers, strict=True)}
    for order in orders:
        if order.fate == TWICE:
            said[order.number].append(_settle(url, order, token))
    return said


def _fates(orders: int, chance: random.Random) -> list[str]:
    share = max(1, orders // 30)
    fates = [trouble for trouble in TROUBLES for _ in range(share)]
    fates += [""] * (orders - len(fates))
    chance.shuffle(fates)
    return fates


def _order(number: int, fate: str, chance: random.Random) -> Order:
    lines = [_line(*chance.choice(ARTICLES), chance.randint(1, 3)) for _ in range(chance.randint(1, 4))]
    if fate == NO_STOCK:
        lines.append(_line(*DISCONTINUED, 1))
    total = sum((Decimal(str(line["price"])) * line["quantity"] for line in lines), Decimal(0))
    town, postcode = SPARSE if fate == NO_CAPACITY else chance.choice(PLACES)
    name = chance.choice(NAMES)
    document = {
        "number": str(number),
        "placed": f"2026-03-{chance.randint(1, 28):02d}T{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:00Z",
        "customer": {"id": f"W{number}", "name": name, "email": f"customer{number}@shop.example"},
        "address": {"name": name, "town": town, "postcode": postcode, "country": "GB"},
        "basket": lines,
        "total": float(total),
        "currency": "GBP",
        "card": {DECLINE: DECLINED, LATE: SLOW}.get(fate, f"tok-{chance.getrandbits(32):08x}"),
    }
    if fate == MALFORMED:
        del document["address"]
    return Order(str(number), fate, document)


def _line(sku: str, title: str, price: str, quantity: int) -> dict[str, Any]:
    return {"sku": sku, "title": title, "quantity": quantity, "price": float(price)}


def _settle(url: str, order: Order, token: str) -> str:
    """Post an order until it is answered; what the bus said: accepted, duplicate, or the status of its refusal."""
    deadline = time.monotonic() + PATIENCE
    for pause in _pauses():
        try:
            status, answer = _post(url, order, token)
        except (OSError, HTTPException):
            status, answer = 0, {}
        if status not in (0, 502, 503, 504):
            return str(answer.get("status", status)) if status < 300 else str(status)
        if time.monotonic() + pause > deadline:
            return f"no answer ({status})"
        time.sleep(pause)
    raise AssertionError("pauses do not end")


def _pauses() -> Iterator[float]:
    pause = 0.05
    while True:
        yield pause
        pause = min(2 * pause, 0.5)


def _post(url: str, order: Order, token: str) -> tuple[int, dict[str, Any]]:
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Idempotency-Key": f'"web-{order.number}"',
        }
        connection.request("POST", place.path, json.dumps(order.document), headers)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else {}
    finally:
        connection.close()


def main() -> None:
    """Post the orders and print what was answered."""
    options = argparse.ArgumentParser(prog="shoppers", description="Customers of a web shop who order.")
    options.add_argument("url", help="where the bus takes the shop's orders")
    options.add_argument("--orders", type=int, default=100, help=f"at least {LEAST}")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    try:
        orders, _ = plan(chosen.orders, chosen.seed)
    except ValueError as error:
        options.error(str(error))
    print(json.dumps(post(chosen.url, orders, os.environ.get("WEBSHOP_TOKEN", ""))))


if __name__ == "__main__":
    main()
