"""The payment provider: charges and refunds cards over HTTP, declines some, and is not always quick or there.

``python -m esb.examples.retail.systems.payments --record payments.db --port 8103``

| request                    | answer                                                          |
| -------------------------- | --------------------------------------------------------------- |
| ``POST /charges``          | 201 with the charge's number; 402 declined                      |
| ``POST /refunds``          | 201 with what was given back; nothing where nothing was charged |
| ``GET /settlement``        | all charges and refunds, and what is due after them             |
| ``GET /health``            | 200                                                             |

Each happens once per Idempotency-Key; a repeat is answered 200 as before. As with providers' test systems, the card
decides what happens: ``tok-declined`` is declined; ``tok-slow`` is charged, but the first answer comes so late that
nobody listens any more. When PAYMENTS_TOKEN is set in the environment, callers must show it as bearer token.
"""

from __future__ import annotations

import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from esb.examples.retail.systems import service
from esb.examples.retail.systems.books import Books, KeyReused
from esb.examples.retail.systems.troubles import Hiccup

DECLINED, SLOW = "tok-declined", "tok-slow"
Answer = tuple[int, Any]


class Payments:
    """The provider's books.

    Args:
        record: where they are kept.
        hold: seconds that the first answer about a slow card takes.
        busy: asked at each request; True: not now (503).
        lost: asked at each effect; True: it happened, and the connection breaks before the answer.
    """

    def __init__(self, record: Path, hold: float = 0.0, busy: Hiccup | None = None, lost: Hiccup | None = None) -> None:
        self._books = Books(record)
        self._hold = hold
        self._lost = lost or Hiccup(0)
        self.busy = busy or Hiccup(0)

    def charge(self, key: str, body: bytes) -> Answer:
        """Take money from a card, once. Status 0 means: taken, but the line is dead."""
        try:
            wanted = json.loads(body)
            order_id, amount, card = str(wanted["orderId"]), Decimal(str(wanted["amount"])), str(wanted["card"])
        except (ValueError, KeyError, TypeError, ArithmeticError):
            return 400, {"error": "a JSON object with orderId, amount and card is needed"}
        if card == DECLINED:
            return 402, {"error": "the card was declined"}
        answer = self._once("charge", key, body, {"orderId": order_id, "amount": float(amount)})
        if card == SLOW and answer[0] == 201:
            time.sleep(self._hold)
        return answer

    def refund(self, key: str, body: bytes) -> Answer:
        """Give back what was charged for an order, once."""
        try:
            order_id = str(json.loads(body)["orderId"])
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "a JSON object with an orderId is needed"}
        amounts = [one["amount"] for one in self._books.entries("charge") if one["orderId"] == order_id]
        if not amounts:
            return 200, {"orderId": order_id, "amount": 0}
        return self._once("refund", key, body, {"orderId": order_id, "amount": amounts[0]})

    def settlement(self) -> dict[str, Any]:
        """What the provider owes the retailer, and why."""
        charges, refunds = self._books.entries("charge"), self._books.entries("refund")
        due = sum((Decimal(str(one["amount"])) for one in charges), Decimal(0))
        due -= sum((Decimal(str(one["amount"])) for one in refunds), Decimal(0))
        return {"charges": charges, "refunds": refunds, "due": float(due)}

    def _once(self, operation: str, key: str, body: bytes, fields: dict[str, Any]) -> Answer:
        if not key:
            return 400, {"error": "an Idempotency-Key is needed"}
        try:
            new, answer = self._books.once(
                operation,
                key,
                body,
                fields["orderId"],
                lambda n: {operation: f"{operation[0].upper()}{n:06d}", **fields},
            )
        except KeyReused as error:
            return 422, {"error": str(error)}
        if new and self._lost():
            return 0, answer
        return 201 if new else 200, answer


class Door(service.Handler):
    """The provider's door; a subclass says whose, and which token callers must show, if any."""

    payments: Payments
    token = ""

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        if self.path == "/health":
            self.answer(200, {"status": "open"})
        elif self.path == "/settlement":
            self.answer(200, self.payments.settlement())
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def do_POST(self) -> None:  # noqa: N802 - named by http.server
        body = self.body()
        act = {"/charges": self.payments.charge, "/refunds": self.payments.refund}.get(self.path)
        if not self.allowed(self.token):
            self.answer(401, {"error": "a bearer token is needed"}, {"WWW-Authenticate": "Bearer"})
        elif act is None:
            self.answer(404, {"error": f"nothing at {self.path}"})
        elif self.payments.busy():
            self.answer(503, {"error": "too much to do"}, {"Retry-After": "1"})
        else:
            self._tell(*act(self.key, body))

    def _tell(self, status: int, document: Any) -> None:
        if status:
            self.answer(status, document)
        else:
            self.hang_up()


def handler(payments: Payments, token: str = "") -> type[Door]:
    """The door of this one."""
    return type("PaymentsDoor", (Door,), {"payments": payments, "token": token})


def main() -> None:
    """Run until a signal."""
    options = service.parser("payments", "A payment provider's HTTP service, with troubles on demand.")
    options.add_argument("--hold", type=float, default=0.0, metavar="SECONDS", help="first answer about a slow card")
    options.add_argument("--busy-every", type=int, default=0, metavar="N", help="answer every Nth request with 503")
    options.add_argument("--lost-every", type=int, default=0, metavar="N", help="cut every Nth effect's answer")
    chosen = options.parse_args()
    payments = Payments(chosen.record, chosen.hold, Hiccup(chosen.busy_every), Hiccup(chosen.lost_every))
    service.serve(handler(payments, os.environ.get("PAYMENTS_TOKEN", "")), chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
