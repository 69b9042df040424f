"""A depot in which messages wait for each other: groups, sequences and questions, and processes to kill."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from esb.broker import open_broker
from esb.broker.port import Outcome, Outgoing, flow_queue
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.store import Ledger, open_store
from tests.faults.processes import PATIENCE, BusProcess
from tests.faults.recorder import Quiet
from tests.references import references

GROUPS, SEQUENCES, QUESTIONS = (
    30,
    8,
    12,
)  # a share: a member of each group, a number of each sequence, so many questions
PRICES = {"north": 9, "south": 7, "west": None}
FILES = {
    "esb.yaml": """
bus: depot
broker: "{broker}"
database: "{database}"
worker: {{batch: 10, prefetch: 20, lease: 3s}}
recovery: {{retries: 1, delays: [200ms], breaker: {{failures: 50, reset: 200ms}}}}
journey: errors
""",
    "endpoints/partners.yaml": """
endpoint: gate
adapter: http
receive: {{}}
---
endpoint: partners
adapter: http
settings: {{url: "{url}"}}
concurrency: 4
timeout: 10s
operations:
  sum: {{post: /sum, effect: keyed}}
  best: {{post: /best, effect: keyed}}
  north: {{post: /north, effect: keyed}}
  south: {{post: /south, effect: keyed}}
  west: {{post: /west, effect: keyed}}
---
endpoint: line
adapter: http
settings: {{url: "{url}"}}
concurrency: 1
timeout: 10s
operations: {{number: {{post: /number, effect: keyed}}}}
""",
    "flows/waiting.yaml": """
flow: sums
from: gate
steps:
  - aggregate: {{by: group, size: {size}}}
  - set: {{sum: $sum(members.n)}}
  - send: partners.sum
---
flow: numbers
from: gate
steps:
  - resequence: {{number: n, by: sequence}}
  - send: line.number
---
flow: questions
from: gate
steps:
  - gather: {{ask: [partners.north, partners.south, partners.west], as: best, best: {{lowest: price}}, least: 2}}
  - send: partners.best
""",
}


class Partners:
    """The systems: every effect by its key once, in the order in which they came."""

    def __init__(self) -> None:
        self.effects: dict[str, list[Any]] = defaultdict(list)
        self._keys: set[str] = set()
        self._lock = threading.Lock()
        self._server = Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def call(self, operation: str, key: str, document: Any) -> tuple[int, bytes]:
        """Status and body of an answer."""
        price = PRICES.get(operation, 0)
        if price is None:
            return 422, b""
        with self._lock:
            if key not in self._keys:
                self._keys.add(key)
                self.effects[operation].append(document)
        return 200, json.dumps({"price": price}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(partners: Partners) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers.get("Idempotency-Key", "")
            status, answer = partners.call(self.path[1:], key, json.loads(body))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class Depot:
    """Everything of one test. ``points``: where it will die, once each; a group has as many
    members, and a sequence as many numbers."""

    def __init__(self, root: Path, broker: str, database: str, points: Sequence[str]) -> None:
        self.points = points
        self.shares = shares = len(points)
        self.root = root
        self.partners = Partners()
        servers = references(root, broker, database)
        for name, text in FILES.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(**servers, url=self.partners.url, size=shares))
        self.store = open_store(database, root / "data")
        self.store.migrate()
        with closing(Bus(load(root, discover()), discover())) as bus:
            bus.prepare()
        self.broker = open_broker(broker, root / "data")
        self.bus = BusProcess(root, root / "bus.log", {})
        mixed = random.Random(4711)
        self._places = [mixed.sample(range(1, shares + 1), shares) for _ in range(SEQUENCES)]

    def deliver(self, share: int) -> None:
        """One more member for each group, one more number for each sequence, some more questions."""
        self._put("sums", [{"group": f"g{g}", "n": 100 * g + share} for g in range(GROUPS)])
        self._put("numbers", [{"sequence": s, "n": places[share]} for s, places in enumerate(self._places)])
        self._put("questions", [{"question": share * QUESTIONS + q} for q in range(QUESTIONS)])

    def _put(self, flow: str, documents: Sequence[dict[str, Any]]) -> None:
        publisher = self.broker.publisher("depot")
        batch = [
            create(
                json.dumps(each).encode(), id=f"{flow}-{'-'.join(map(str, each.values()))}", type=flow, source="depot"
            )
            for each in documents
        ]
        outcomes = publisher.publish([Outgoing(message, flow_queue(flow)) for message in batch])
        assert set(outcomes) == {Outcome.CONFIRMED}
        publisher.close()

    def crash_at(self, point: str, visit: int, limit: float = PATIENCE) -> None:
        """Start the bus and let it die at the nth visit of a point."""
        self.bus.start("--role", "bus", crash_at=f"{point}#{visit}")
        if not self.bus.dies_within(limit):
            raise AssertionError(f"the bus never came by {point!r}\n{self.log()}")

    def log(self) -> str:
        return "\n".join(line[:500] for line in (self.root / "bus.log").read_text().splitlines()[-15:])

    def ledger(self) -> Ledger:
        with self.store.reading() as t:
            return t.tracking.ledger()

    def wait_until(self, condition: Callable[[], object], what: str, limit: float = PATIENCE) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                counts = {name: len(found) for name, found in self.partners.effects.items()}
                raise AssertionError(f"never came true: {what}\n{counts}\n{self.ledger()}\n{self.log()}")
            time.sleep(0.05)

    def verdict(self) -> None:
        """Each group gave one sum, each sequence is in order, each question has one best answer; nothing is left."""
        done, asked = self.partners.effects, self.shares * QUESTIONS
        self.wait_until(lambda: len(done["sum"]) >= GROUPS, "all sums are there")
        self.wait_until(lambda: len(done["number"]) >= SEQUENCES * self.shares, "all numbers are there")
        self.wait_until(lambda: len(done["best"]) >= asked, "all questions are answered")
        self.wait_until(lambda: self.ledger().settled, "it settles")
        sums = {each["key"]: each["sum"] for each in done["sum"]}
        assert len(done["sum"]) == GROUPS
        assert sums == {f"g{g}": sum(100 * g + share for share in range(self.shares)) for g in range(GROUPS)}
        assert all(each["complete"] and each["size"] == self.shares for each in done["sum"])
        for sequence in range(SEQUENCES):
            numbers = [each["n"] for each in done["number"] if each["sequence"] == sequence]
            assert numbers == list(range(1, self.shares + 1))
        assert Counter(each["question"] for each in done["best"]) == Counter(range(asked))
        assert {each["best"]["from"] for each in done["best"]} == {"partners.south"}
        assert [len(done[name]) for name in ("north", "south")] == [asked, asked]
        with self.store.reading() as t:
            assert t.parked.list() == [] and t.groups.search() == []

    def close(self) -> None:
        self.bus.stop()
        self.broker.close()
        self.store.close()
        self.partners.stop()
