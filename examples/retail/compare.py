"""What must become of a day at the retailer's, what the systems saw of it, and where the bus's ledger differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from esb.examples.retail.systems.shoppers import DECLINE, NO_CAPACITY, NO_STOCK, TWICE

if TYPE_CHECKING:
    from esb.examples.retail.systems import erp, shoppers, tills
    from esb.examples.retail.systems.books import Recorded as Books
    from esb.store import Ledger

REFUSED = "refused"
Movement = tuple[str, str, float]  # order number, charge or refund or due, amount


@dataclass(frozen=True)
class Recorded:
    """What the systems saw.

    Attributes:
        warehouse: operation -> order number -> ``{"effects": …, "repeats": …}``; payments and courier alike.
        status: order number -> what the shop tells its customer.
        search: order numbers that can be found.
        stock: system -> ``warehouse/article`` -> pieces.
        archive: order number -> files that hold it.
        finance: order number -> the amounts booked for it.
        movements: order number, charge or refund, and amount, of all that payments have moved.
        reports: of each file the same, and what is due.
        answers: shop's number -> what the bus answered, in order.
    """

    warehouse: Books = field(default_factory=dict)
    payments: Books = field(default_factory=dict)
    courier: Books = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    search: list[str] = field(default_factory=list)
    stock: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    archive: Mapping[str, int] = field(default_factory=dict)
    finance: Mapping[str, list[float]] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)
    reports: list[list[Movement]] = field(default_factory=list)
    answers: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What must become of everything, put together from what tills, ERP and web shop planned.

    ``reports``: settlement reports that were asked for, when all else had ended.
    """

    tills: tills.Expected
    erp: erp.Expected
    web: shoppers.Expected
    reports: int = 0

    @property
    def orders(self) -> list[str]:
        """Every order that is placed."""
        return sorted([*self.tills.orders, *self.web.accepted])

    @property
    def messages(self) -> int:
        """What comes in, each once; what the shop sends again is not among them."""
        stock = len(self.erp.levels) + len(self.erp.wrong)
        return self.tills.accepted + stock + len(self.web.accepted) + self.reports

    @property
    def copies(self) -> dict[str, int]:
        """Place of each flow that starts from an event -> how many it gets."""
        levels, orders = len(self.erp.levels), len(self.orders)
        return {
            "flow:search": orders,
            "flow:archive": orders,
            "flow:stock-search": levels,
            "flow:stock-shop": levels,
            "flow:confirmed": len(self.web.confirmed),
            "flow:cancelled": len(self.web.cancelled),
        }

    @property
    def sends(self) -> dict[str, int]:
        """endpoint.operation -> how many are sent to it."""
        reserved, charged, released, refunded = self.checkouts
        return {
            "warehouse": len(self.tills.orders),
            "finance.book": len(self.amounts),
            "search.index": len(self.orders),
            "archive.keep": len(self.orders),
            "search.stock": len(self.erp.levels),
            "webshop.stock": len(self.erp.levels),
            "webshop.status": len(self.web.accepted),
            "warehouse.reserve": len(self.web.accepted),
            "payments.charge": len(reserved),
            "courier.book": len(charged),
            "warehouse.release": len(released),
            "payments.refund": len(refunded),
            "payments.settlement": self.reports,
            "reports.settlement": self.reports,
        }

    @property
    def checkouts(self) -> tuple[set[str], set[str], set[str], set[str]]:
        """Order numbers whose stock is reserved, that are charged, whose stock is released, that are refunded."""
        reserved = set(self.web.accepted) - set(self.web.fates[NO_STOCK])
        charged = reserved - set(self.web.fates[DECLINE])
        refunded = set(self.web.fates[NO_CAPACITY])
        return reserved, charged, (reserved - charged) | refunded, refunded

    @property
    def amounts(self) -> dict[str, float]:
        """Order number -> what was paid for it, at a till or in the shop."""
        return self.tills.amounts | {order: self.web.amounts[order] for order in self.web.confirmed}

    @property
    def parked(self) -> dict[str, int]:
        """Kind of failure -> messages that wait for a person."""
        kinds = Counter(self.tills.parked)
        kinds.update({"decode": len(self.erp.wrong), REFUSED: len(self.tills.refused)})
        return dict(kinds)


def compare(ledger: Ledger, recorded: Recorded, expected: Expected) -> list[str]:
    """Every difference between what the bus says, what the systems saw, and what must be; empty: they agree."""
    return [*_ledger(ledger, expected), *_systems(recorded, expected)]


def settled(ledger: Ledger, before: Ledger | None, expected: Expected) -> bool:
    """Whether all has come in, nothing is under way, and each event has reached each of its subscribers.

    ``before``: the ledger of a look before, or None.
    """
    came = all(sum(ledger.flows.get(place, {}).values()) >= count for place, count in expected.copies.items())
    return ledger.accepted >= expected.messages and ledger.still_settled(before) and came


def _ledger(ledger: Ledger, expected: Expected) -> Iterator[str]:
    refused, sent = len(expected.tills.refused), sum(expected.sends.values())
    parked = sum(expected.tills.parked.values()) + len(expected.erp.wrong)
    undone = expected.sends["warehouse.release"] + expected.sends["payments.refund"]
    counts = {
        "accepted": expected.messages,
        "completed": expected.messages - expected.tills.filtered - expected.tills.duplicate - parked,
        "filtered": expected.tills.filtered,
        "duplicate": expected.tills.duplicate,
        "parked": parked,
        "unsubscribed": 0,
        "published": len(expected.orders) + len(expected.erp.levels) + 2 * len(expected.web.accepted),
        "sent": sent,
        "done": sent - refused - undone - len(expected.web.cancelled),
        "compensated": undone,
        "rejected": len(expected.web.cancelled),  # a step of each was refused, which is why it came to nothing
        "out_parked": refused,
        "in_doubt": 0,
    }
    for name, wanted in counts.items():
        yield from _differs(f"ledger: {name}", wanted, getattr(ledger, name))
    ends = {"completed": len(expected.web.confirmed), "compensated": len(expected.web.cancelled)}
    for status in sorted({*ends, *ledger.sagas}):
        yield from _differs(f"ledger: sagas {status}", ends.get(status, 0), ledger.sagas.get(status, 0))
    found = Counter[str]()
    for kind, _, count in ledger.parked_by:
        found[kind] += count
    for kind in sorted({*found, *expected.parked}):
        yield from _differs(f"ledger: parked as {kind}", expected.parked.get(kind, 0), found[kind])


def _systems(recorded: Recorded, expected: Expected) -> Iterator[str]:
    unknown = set(expected.tills.refused)
    reserved, charged, released, refunded = expected.checkouts
    done = {
        "warehouse.order": set(expected.tills.ship) - unknown,
        "warehouse.collect": set(expected.tills.collect) - unknown,
        "warehouse.reserve": reserved,
        "warehouse.release": released,
        "payments.charge": charged,
        "payments.refund": refunded,
        "courier.book": expected.web.confirmed,
    }
    for place, orders in done.items():
        system, _, operation = place.partition(".")
        seen: Books = getattr(recorded, system)
        yield from _effects(place, {order: one["effects"] for order, one in seen.get(operation, {}).items()}, orders)
    yield from _neither_shipped_nor_refunded(recorded)
    yield from _statuses(recorded, expected)
    yield from _effects("search.index", dict.fromkeys(recorded.search, 1), expected.orders)
    yield from _effects("archive.keep", recorded.archive, expected.orders)
    yield from _levels(recorded, expected)
    yield from _bookings(recorded.finance, expected.amounts)
    yield from _answers(recorded.answers, expected)
    yield from _reports(recorded, expected)


def _neither_shipped_nor_refunded(recorded: Recorded) -> Iterator[str]:
    """The one thing that must never be, whatever was planned: from the systems' own records alone."""
    settled = {*recorded.courier.get("book", {}), *recorded.payments.get("refund", {})}
    for order in sorted(set(recorded.payments.get("charge", {})) - settled):
        yield f"{order} is charged, and neither shipped nor refunded"


def _statuses(recorded: Recorded, expected: Expected) -> Iterator[str]:
    wanted = dict.fromkeys(expected.web.confirmed, "confirmed") | dict.fromkeys(expected.web.cancelled, "cancelled")
    for order in sorted({*wanted, *recorded.status}):
        yield from _differs(f"webshop: status of {order}", wanted.get(order), recorded.status.get(order))


def _levels(recorded: Recorded, expected: Expected) -> Iterator[str]:
    wanted = {place: max(pieces, 0) for place, pieces in expected.erp.levels.items()}
    for system, levels in recorded.stock.items():
        for place in sorted({*wanted, *levels}):
            yield from _differs(f"{system}: pieces of {place}", wanted.get(place), levels.get(place))


def _bookings(booked: Mapping[str, list[float]], amounts: Mapping[str, float]) -> Iterator[str]:
    yield from _effects("finance.book", {order: len(found) for order, found in booked.items()}, amounts)
    for order in sorted(set(booked) & set(amounts)):
        yield from _differs(f"finance.book: amount of {order}", amounts[order], booked[order][0])


def _reports(recorded: Recorded, expected: Expected) -> Iterator[str]:
    """Each was asked for when nothing moved any more, so each has all movements, and their sum."""
    yield from _differs("reports.settlement: files", expected.reports, len(recorded.reports))
    due = sum((amount if kind == "charge" else -amount for _, kind, amount in recorded.movements), 0.0)
    wanted = sorted([*recorded.movements, ("", "due", round(due, 2))])
    for report in recorded.reports:
        for row in sorted({*wanted, *report}):
            yield from _differs(f"reports.settlement: {' '.join(map(str, row))}", wanted.count(row), report.count(row))


def _answers(answers: Mapping[str, list[str]], expected: Expected) -> Iterator[str]:
    for number in expected.web.refused:
        yield from _differs(f"webshop: answer to {number}", ["422"], answers.get(number))
    for order in expected.web.accepted:
        words = answers.get(order.removeprefix("WO-"), [])
        if not words or set(words) - {"accepted", "duplicate"}:
            yield f"webshop: {order} was answered {', '.join(words) or 'never'}"
        if order in expected.web.fates[TWICE] and words[1:] != ["duplicate"]:
            yield f"webshop: {order} was sent twice, and the second time answered {', '.join(words[1:]) or 'never'}"


def _effects(place: str, effects: Mapping[str, int], orders: Iterable[str]) -> Iterator[str]:
    wanted = set(orders)
    yield from (f"{place}: {order} is missing" for order in sorted(wanted - set(effects)))
    yield from (f"{place}: {order} should not be there" for order in sorted(set(effects) - wanted))
    yield from (f"{place}: {order} took effect {n} times" for order, n in sorted(effects.items()) if n > 1)


def _differs(what: str, wanted: Any, found: Any) -> Iterator[str]:
    if wanted != found:
        yield f"{what}: {wanted} expected, {found} found"
