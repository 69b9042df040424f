"""A shop whose checkout is a saga: a thousand orders, three systems that sometimes decline, and processes to kill."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from esb.broker import open_broker
from esb.broker.port import Outcome, Outgoing, saga_queue
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.store import Ledger, SagaRow, open_store
from tests.faults.processes import PATIENCE, BusProcess
from tests.faults.recorder import Quiet
from tests.references import references

CONCURRENCY = 8
FILES = {
    "esb.yaml": """
bus: shop
broker: "{broker}"
database: "{database}"
worker: {{batch: 100, prefetch: 300, lease: 3s}}
recovery: {{retries: 1, delays: [200ms], breaker: {{failures: 50, reset: 200ms}}}}
journey: errors
""",
    "endpoints/partners.yaml": """
endpoint: partners
adapter: http
settings: {{url: "{url}"}}
concurrency: {concurrency}
timeout: 10s
operations:
  reserve: {{post: /reserve, effect: keyed}}
  release: {{post: /release, effect: keyed}}
  charge: {{post: /charge, effect: keyed}}
  refund: {{post: /refund, effect: keyed}}
  ship: {{post: /ship, effect: keyed}}
""",
    "sagas/checkout.yaml": """
saga: checkout
from: order/v1
key: $string(n)
steps:
  - {{name: reserve, call: partners.reserve, compensate: partners.release}}
  - {{name: charge, call: partners.charge, compensate: partners.refund}}
  - {{name: ship, call: partners.ship, pivot: true}}
""",
    "contracts/order/v1.json": json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}})
    .replace("{", "{{")
    .replace("}", "}}"),
}  # fmt: skip
EXPECTED = {
    None: ("completed", ["reserve", "charge", "ship"]),
    "charge": ("compensated", ["reserve", "release"]),
    "ship": ("compensated", ["reserve", "charge", "refund", "release"]),
}


def declines(number: int) -> str | None:
    """What is declined for an order: every tenth has no money, every eighth no courier."""
    return "charge" if number % 10 == 0 else "ship" if number % 8 == 0 else None


class Partners:
    """The systems: every effect by its key once, in order."""

    def __init__(self) -> None:
        self.effects: dict[int, list[str]] = defaultdict(list)
        self.repeats = 0
        self._keys: set[str] = set()
        self._lock = threading.Lock()
        self._server = Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def call(self, operation: str, key: str, number: int) -> int:
        """The HTTP status of an answer."""
        with self._lock:
            if declines(number) == operation:
                return 422
            if key in self._keys:
                self.repeats += 1
                return 200
            self._keys.add(key)
            self.effects[number].append(operation)
            return 201

    def count(self) -> int:
        """Effects so far."""
        return len(self._keys)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(partners: Partners) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers.get("Idempotency-Key", "")
            self.send_response(partners.call(self.path[1:], key, json.loads(body)["n"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class Shop:
    """Everything of one test."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.root = root
        self.partners = Partners()
        servers = references(root, broker, database)
        for name, text in FILES.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            url = self.partners.url
            file.write_text(text.format(**servers, url=url, concurrency=CONCURRENCY))
        self.store = open_store(database, root / "data")
        self.store.migrate()
        with closing(Bus(load(root, discover()), discover())) as bus:
            bus.prepare()
        self.broker = open_broker(broker, root / "data")
        self.bus = BusProcess(root, root / "bus.log", {})

    def order(self, numbers: range) -> None:
        """Put orders into the saga's queue."""
        publisher = self.broker.publisher("shop")
        batch = [
            create(json.dumps({"n": n}).encode(), id=f"order-{n}", type="order", version=1, source="shop", time=1e9)
            for n in numbers
        ]
        outcomes = publisher.publish([Outgoing(message, saga_queue("checkout")) for message in batch])
        assert set(outcomes) == {Outcome.CONFIRMED}
        publisher.close()

    def crash_at(self, point: str, visit: int, limit: float = PATIENCE) -> None:
        """Start the bus and let it die at the nth visit of a point."""
        self.bus.start("--role", "bus", crash_at=f"{point}#{visit}")
        if not self.bus.dies_within(limit):
            raise AssertionError(f"the bus never came by {point!r}\n{self.log()}")

    def rows(self) -> list[SagaRow]:
        with self.store.reading() as t:
            return t.sagas.search(limit=100_000)

    def counts(self) -> dict[str, int]:
        """Sagas by status."""
        with self.store.reading() as t:
            return {status: count for (_, status), count in t.sagas.counts().items()}

    def ledger(self) -> Ledger:
        with self.store.reading() as t:
            return t.tracking.ledger()

    def log(self) -> str:
        return "\n".join(line[:500] for line in (self.root / "bus.log").read_text().splitlines()[-15:])

    def wait_until(self, condition: Callable[[], object], what: str, limit: float = PATIENCE) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true: {what}\n{self.counts()}\n{self.ledger()}\n{self.log()}")
            time.sleep(0.05)

    def verdict(self, orders: int) -> None:
        """All ended as they must, each effect took place once and in its order, and the ledger adds up."""
        self.wait_until(lambda: self.ended() >= orders, "every saga has ended")
        self.wait_until(lambda: self.ledger().settled, "it settles")
        rows = self.rows()
        assert len(rows) == orders
        wrong = {
            row.key: (row.status, self.partners.effects[int(row.key)])
            for row in rows
            if (row.status, self.partners.effects[int(row.key)]) != EXPECTED[declines(int(row.key))]
        }
        assert wrong == {}
        with self.store.reading() as t:
            assert t.parked.list() == []
        ledger = self.ledger()
        assert ledger.sent == ledger.done + ledger.compensated + ledger.rejected
        assert ledger.rejected == sum(declines(n) is not None for n in range(orders))

    def ended(self) -> int:
        return sum(count for status, count in self.counts().items() if status in ("completed", "compensated"))

    def close(self) -> None:
        self.bus.stop()
        self.broker.close()
        self.store.close()
        self.partners.stop()
