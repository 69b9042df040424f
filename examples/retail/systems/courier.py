"""The courier: books a parcel for each order over HTTP, has no capacity for some places, and is overloaded at times.

``python -m esb.examples.retail.systems.courier --record courier.db --port 8104``

| request              | answer                                                          |
| -------------------- | --------------------------------------------------------------- |
| ``POST /bookings``   | 201 with a tracking number; 409 where no van goes               |
| ``GET /health``      | 200                                                             |

A booking is made once per Idempotency-Key; a repeat is answered 200 as before. No van goes to the Outer Hebrides
(postcodes with HS).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from esb.examples.retail.systems import service
from esb.examples.retail.systems.books import Books, KeyReused
from esb.examples.retail.systems.troubles import Hiccup

NO_VAN = "HS"
Answer = tuple[int, Any]


class Courier:
    """The courier's books. ``busy`` is asked at each request, ``lost`` at each booking, as with payments."""

    def __init__(self, record: Path, busy: Hiccup | None = None, lost: Hiccup | None = None) -> None:
        self._books = Books(record)
        self._lost = lost or Hiccup(0)
        self.busy = busy or Hiccup(0)

    def book(self, key: str, body: bytes) -> Answer:
        """Book a parcel, once. Status 0 means: booked, but the line is dead."""
        try:
            wanted = json.loads(body)
            order_id, postcode = str(wanted["orderId"]), str(wanted["postcode"])
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "a JSON object with orderId and postcode is needed"}
        if not key:
            return 400, {"error": "an Idempotency-Key is needed"}
        if postcode.startswith(NO_VAN):
            return 409, {"error": f"no capacity to {postcode}"}
        try:
            new, answer = self._books.once(
                "book", key, body, order_id, lambda n: {"orderId": order_id, "tracking": f"GB{n:08d}"}
            )
        except KeyReused as error:
            return 422, {"error": str(error)}
        if new and self._lost():
            return 0, answer
        return 201 if new else 200, answer


def handler(courier: Courier) -> type[service.Handler]:
    """The courier's door."""

    class Door(service.Handler):
        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            found = self.path == "/health"
            self.answer(200 if found else 404, {"status": "open"} if found else {"error": f"nothing at {self.path}"})

        def do_POST(self) -> None:  # noqa: N802 - named by http.server
            body = self.body()
            if self.path != "/bookings":
                self.answer(404, {"error": f"nothing at {self.path}"})
            elif courier.busy():
                self.answer(503, {"error": "all lines are busy"}, {"Retry-After": "1"})
            else:
                self._tell(*courier.book(self.key, body))

        def _tell(self, status: int, document: Any) -> None:
            if status:
                self.answer(status, document)
            else:
                self.hang_up()

    return Door


def main() -> None:
    """Run until a signal."""
    options = service.parser("courier", "A courier's HTTP service, with troubles on demand.")
    options.add_argument("--busy-every", type=int, default=0, metavar="N", help="answer every Nth request with 503")
    options.add_argument("--lost-every", type=int, default=0, metavar="N", help="cut every Nth booking's answer")
    chosen = options.parse_args()
    courier = Courier(chosen.record, Hiccup(chosen.busy_every), Hiccup(chosen.lost_every))
    service.serve(handler(courier), chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
