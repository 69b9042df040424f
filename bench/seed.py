"""Fills a store with traffic as a shop has it, so that pages and queries can be judged on a bus that has lived.

    python -m bench.seed DIRECTORY --messages 50000

A sale comes in, a flow takes it, an order goes to one of four systems, and of every third an event is told. Of 100
sales one breaks its contract, one is refused, one is being retried; every tenth comes again. The same seed gives the
same rows. ``bench/shop`` is a bus with these names.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator

import msgspec

from esb.flow import StepTrace
from esb.message import Message, child_of, create, derive_id
from esb.store import Hop, Parked, Status, Store, open_store
from esb.worker.rows import packed

WEEK = 7 * 86400.0
BATCH = 1000
SYSTEMS = ("warehouse", "warehouse-eu", "finance", "courier")
CAUSES = (
    ("contract", "flow:sales", "breaks contract order/v1: /lines/{n}/qty: {n} is less than the minimum of 1"),
    ("mapping", "flow:sales", "mappings/sale.yaml:{n}: customer.country: no row for 'X{n}' in lookups/countries.csv"),
    ("refused", "out:warehouse", "refused: 422 Unprocessable Entity: sku A{n} is not sold any more"),
    ("unreachable", "out:courier", "unreachable: connection refused after {n} ms"),
    ("in doubt", "out:finance", "a process died between sending this and hearing the answer: look at the other side"),
)


def seed(
    store: Store, messages: int, *, now: float | None = None, definition: str = "", span: float = WEEK
) -> None:  # fmt: skip
    """Write traffic of about this many messages, over ``span`` seconds before ``now`` (epoch seconds)."""
    chance = random.Random(7)
    now = time.time() if now is None else now
    sales = messages * 5 // 12  # a sale makes an order, and some an event and a repeat
    hops: list[Hop] = []
    parked: list[Parked] = []
    for number in range(sales):
        at = now - span + span * number / sales
        for hop, row in _sale(number, at, chance, definition):
            hops.append(hop)
            if row:
                parked.append(row)
        if len(hops) >= BATCH or number == sales - 1:
            with store.transaction() as t:
                t.tracking.record(hops)
                t.parked.add(parked)
            hops, parked = [], []


def _sale(number: int, at: float, chance: random.Random, definition: str) -> Iterator[tuple[Hop, Parked | None]]:
    """All rows of one sale, with the parked message of those that are."""
    system = chance.choice(SYSTEMS)
    sale = sale_of(number, at, system, chance)
    order = _order(sale, f"send:{system}.order")
    yield _hop(sale, "in:pos", Status.ACCEPTED, at, definition, sent=1), None
    if number % 10 == 3:
        repeat = msgspec.structs.replace(sale, id=derive_id(sale.id, 0, "in:pos", "duplicate", 0), causation_id=sale.id)
        yield _hop(repeat, "in:pos", Status.DUPLICATE, at + 60, definition, detail="sales.csv"), None
    if number % 100 in (0, 50):
        yield _failed(sale, *CAUSES[0 if number % 100 else 1], at, chance, definition)
        return
    steps = [StepTrace("map:sale-to-order", "map", "sale-to-order"), *_chosen(order, system)]
    if number % 3 == 0:
        event = child_of(
            sale, derive_id(sale.id, 0, "flow:sales", "publish", 0), "order.placed", 1, sale.subject, order.body
        )
        steps.append(StepTrace("publish:order.placed/v1", "publish", "order.placed/v1", (event.id,)))
        yield _hop(event, "event:order.placed/v1", Status.UNSUBSCRIBED, at + 0.02, definition), None
    yield _hop(sale, "flow:sales", Status.COMPLETED, at + 0.01, definition, sent=1, steps=packed(steps)), None
    if number % 100 in (1, 2, 51):
        yield _failed(order, *CAUSES[2 + number % 3], at + 0.05, chance, definition)
    else:
        status = Status.RETRYING if number % 100 == 7 else Status.COMPLETED
        yield _hop(order, f"out:{system}", status, at + 0.03, definition, operation="order", detail="201"), None


def sale_of(number: int, at: float, system: str, chance: random.Random) -> Message:
    """The sale of a number, as a till tells it; its order goes to ``system``."""
    lines = [{"sku": f"A{chance.randrange(500)}", "qty": chance.randrange(1, 9), "price": 9.99} for _ in range(10)]
    customer = f"C{chance.randrange(900)}"
    body = json.dumps({"ticket": str(4000 + number), "customer": customer, "system": system, "items": lines}).encode()
    id = derive_id(f"seed-{number}", 0, "in:pos", "record", 0)
    return create(
        body, type="pos.sale", version=1, source="pos", id=id, subject=str(4000 + number), time=at,
        headers={"store": f"{chance.randrange(40):03}"},
    )  # fmt: skip


def _order(sale: Message, step: str) -> Message:
    body = json.dumps({"orderId": f"SO-{sale.subject}", "sale": json.loads(sale.body)}).encode()
    return child_of(sale, derive_id(sale.id, 0, "flow:sales", step, 0), "order", 1, f"SO-{sale.subject}", body)


def _chosen(order: Message, system: str) -> list[StepTrace]:
    way = "otherwise" if system == "courier" else f'sale.system = "{system}"'
    return [
        StepTrace("choose", "choose", way),
        StepTrace(f"send:{system}.order", "send", f"{system}.order", (order.id,)),
    ]


def _hop(message: Message, place: str, status: Status, at: float, definition: str, **more: object) -> Hop:
    fields = {name: getattr(message, name) for name in ("type", "version", "source", "subject", "time", "body")}
    return Hop(
        message_id=message.id, place=place, status=status, correlation_id=message.correlation_id,
        causation_id=message.causation_id, received_at=at, ended_at=at + 0.004, attempts=1, definition=definition,
        content_type="application/json", headers=packed(message.headers), **fields, **more,
    )  # fmt: skip


def _failed(
    message: Message, kind: str, place: str, error: str, at: float, chance: random.Random, definition: str
) -> tuple[Hop, Parked]:
    error = error.format(n=chance.randrange(1, 400))
    sort, _, name = place.partition(":")
    queue = f"esb.{'flow' if sort == 'flow' else 'endpoint'}.{name}"
    operation = "" if sort == "flow" else "order"
    status = Status.IN_DOUBT if kind == "in doubt" else Status.PARKED
    hop = _hop(message, place, status, at, definition, error_kind=kind, error=error, operation=operation or None)
    row = Parked(
        message=message, place=place, queue=queue, kind=kind, error=error, parked_at=at, first_failed=at,
        operation=operation, attempts=1, definition=definition, step="map:sale-to-order" if sort == "flow" else "",
    )  # fmt: skip
    return hop, row


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", help="Where store.db is, or is made: the `data:` of a bus.")
    parser.add_argument("--messages", type=int, default=50_000)
    given = parser.parse_args()
    store = open_store("embedded", given.directory)
    store.migrate()
    seed(store, given.messages)
    store.close()


if __name__ == "__main__":
    main()
