"""The warehouse: speaks XML over HTTP, does each thing once per Idempotency-Key, and fails now and then.

``python -m esb.examples.retail.systems.warehouse --record warehouse.db --port 8101``

| request                    | answer                                                                       |
| -------------------------- | ---------------------------------------------------------------------------- |
| ``POST /orders``           | ``<booking>``: 201; 200 the same again for a key seen before                 |
| ``POST /collections``      | the same, for orders that a customer collects                                |
| ``POST /reservations``     | ``<reserved>``: stock is put aside for an order, until it is released        |
| ``DELETE /reservations/ID``| ``<released>``, again and again, also where nothing was reserved for the order |
| ``GET /orders/ID``         | what is booked under an order number, 404 when nothing is                    |
| ``GET /health``            | 200, or 503 while it is down                                                 |

All names are in the namespace ``urn:retail:warehouse``. What it cannot do it answers with a ``<fault>`` of code and
text: 422 for an article that it does not have, and for a key that comes again with another body (after the IETF draft
on the Idempotency-Key header); 400 without a key. When WAREHOUSE_TOKEN is set in the environment, a request without it
as bearer token is answered 401.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET  # the standard library's, so that a stand-in needs nothing else
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from esb.examples.retail.systems import service
from esb.examples.retail.systems.books import Books, KeyReused
from esb.examples.retail.systems.tills import DISCONTINUED
from esb.examples.retail.systems.troubles import Outage

NAMESPACE = "urn:retail:warehouse"
OPERATIONS = {"/orders": "order", "/collections": "collect", "/reservations": "reserve"}
UNKNOWN = DISCONTINUED[0]  # an article that tills and shop still sell, and the warehouse no longer has

Answer = tuple[int, str, Mapping[str, Any]]  # status, name of the root element, its children


class Warehouse:
    """Takes orders, collections and reservations, and writes each down once."""

    def __init__(self, record: Path, outage: Outage | None = None) -> None:
        self._books = Books(record)
        self.outage = outage or Outage()

    def book(self, operation: str, key: str, body: bytes) -> Answer:
        """Do what is asked, once. Status 0 means: done, but the power is gone."""
        if not key:
            return _fault(400, "no-key", "an Idempotency-Key is needed")
        try:
            order_id, articles = _read(body)
        except ValueError as error:
            return _fault(400, "unreadable", str(error))
        if UNKNOWN in articles:
            return _fault(422, "unknown-article", f"there is no article {UNKNOWN} in this warehouse")
        return self._once(operation, key, body, order_id)

    def release(self, order_id: str) -> Answer:
        """Give up what is reserved for an order; again, or where nothing is, does no harm."""
        answer = {"orderId": order_id}
        if any(entry["orderId"] == order_id for entry in self._books.entries("reserve")):
            self._books.once("release", order_id, b"", order_id, lambda _: answer)
        return 200, "released", answer

    def booked(self, order_id: str) -> Answer:
        """What is booked under an order number."""
        found = self._books.of_order(order_id)
        if not found:
            return _fault(404, "unknown-order", f"there is no order {order_id}")
        return 200, "bookings", {"booking": found}

    def _once(self, operation: str, key: str, body: bytes, order_id: str) -> Answer:
        letter = "R" if operation == "reserve" else "W"
        try:
            new, answer = self._books.once(
                operation, key, body, order_id, lambda n: {"orderId": order_id, "number": f"{letter}{n:06d}"}
            )
        except KeyReused as error:
            return _fault(422, "key-reused", str(error))
        status = (0 if self.outage.booked() else 201) if new else 200
        return status, "reserved" if operation == "reserve" else "booking", answer


class Door(service.Handler):
    """The warehouse's door; a subclass says whose, and which token callers must show, if any."""

    warehouse: Warehouse
    token = ""

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        place, _, order_id = self.path.rpartition("/")
        if not self._open():
            return
        if self.path == "/health":
            self._say(200, "health", {"status": "open"})
        elif place == "/orders":
            self._say(*self.warehouse.booked(order_id))
        else:
            self._nothing_here()

    def do_POST(self) -> None:  # noqa: N802 - named by http.server
        body = self.body()
        if not (self._open() and self._known()):
            return
        if self.path in OPERATIONS:
            self._say(*self.warehouse.book(OPERATIONS[self.path], self.key, body))
        else:
            self._nothing_here()

    def do_DELETE(self) -> None:  # noqa: N802 - named by http.server
        self.body()
        place, _, order_id = self.path.rpartition("/")
        if not (self._open() and self._known()):
            return
        if place == "/reservations":
            self._say(*self.warehouse.release(order_id))
        else:
            self._nothing_here()

    def _open(self) -> bool:
        remaining = self.warehouse.outage.remaining()
        if remaining:
            fault = _fault(503, "down", "the warehouse is down")
            self._say(*fault, {"Retry-After": str(ceil(remaining))})
        return not remaining

    def _known(self) -> bool:
        known = self.allowed(self.token)
        if not known:
            self._say(*_fault(401, "no-token", "a bearer token is needed"), {"WWW-Authenticate": "Bearer"})
        return known

    def _nothing_here(self) -> None:
        self._say(*_fault(404, "not-found", f"nothing at {self.path}"))

    def _say(self, status: int, root: str, fields: Mapping[str, Any], headers: dict[str, str] | None = None) -> None:
        if status:
            self.answer_with(status, written(root, fields), "application/xml", headers)
        else:
            self.hang_up()


def handler(warehouse: Warehouse, token: str = "") -> type[Door]:
    """The door of this one."""
    return type("WarehouseDoor", (Door,), {"warehouse": warehouse, "token": token})


def written(root: str, fields: Mapping[str, Any]) -> bytes:
    """A small document: an element for each field, a list as elements of one name, an object as an element within."""
    element = ET.Element(root, {"xmlns": NAMESPACE})
    _fill(element, fields)
    return bytes(ET.tostring(element, encoding="utf-8", xml_declaration=True))


def _fill(parent: ET.Element, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            child = ET.SubElement(parent, name)
            if isinstance(one, Mapping):
                _fill(child, one)
            else:
                child.text = str(one)


def _read(body: bytes) -> tuple[str, set[str]]:
    """The order number and the articles of a request."""
    try:
        document = ET.fromstring(body)
    except ET.ParseError as error:
        raise ValueError(f"this is no XML: {error}") from error
    order_id = document.findtext(f"{{{NAMESPACE}}}orderId")
    if not order_id:
        raise ValueError("an orderId is needed")
    return order_id, {article.text or "" for article in document.iter(f"{{{NAMESPACE}}}article")}


def _fault(status: int, code: str, text: str) -> Answer:
    return status, "fault", {"code": code, "text": text}


def main() -> None:
    """Run until a signal."""
    options = service.parser("warehouse", "A warehouse's HTTP service, with an outage on demand.")
    options.add_argument("--down-after", type=int, default=0, metavar="N", help="go down with the Nth booking")
    options.add_argument("--down-for", type=float, default=3.0, metavar="SECONDS", help="and come back after so long")
    chosen = options.parse_args()
    warehouse = Warehouse(chosen.record, Outage(chosen.down_after, chosen.down_for))
    door = handler(warehouse, os.environ.get("WAREHOUSE_TOKEN", ""))
    service.serve(door, chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
