"""Order under fire: two processes share the work, one of them is killed again and again, and no order is passed."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from esb.broker import open_broker
from esb.broker.port import Outcome, Outgoing, flow_queue
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.store import open_store
from tests.faults.depot import Partners
from tests.faults.processes import BusProcess
from tests.references import references

pytestmark = pytest.mark.faults
CUSTOMERS, ORDERS, KILLS = 6, 12, 3
FILES = {
    "esb.yaml": """
bus: orders
broker: "{broker}"
database: "{database}"
worker: {{batch: 20, prefetch: 60, lease: 3s}}
recovery: {{retries: 0, delays: [200ms, 400ms, 1s, 1s, 1s], breaker: {{failures: 1000, reset: 200ms}}}}
""",
    "endpoints/line.yaml": """
endpoint: gate
adapter: http
receive: {{}}
---
endpoint: line
adapter: http
settings: {{url: "{url}"}}
concurrency: 4
timeout: 10s
operations: {{number: {{post: /number, effect: keyed}}, price: {{post: /price, effect: keyed}}}}
""",
    "flows/orders.yaml": """
flow: orders
from: gate
ordering: customer
steps:
  - choose:
      - {{when: n % 10 = 0, do: [{{call: {{to: line.price, as: price}}}}]}}
      - {{otherwise: []}}
  - send: line.number
""",
}


class Flapping(Partners):
    """Now and then it has no time, and the message is tried again later."""

    def __init__(self) -> None:
        super().__init__()
        self._dice = random.Random(4711)

    def call(self, operation: str, key: str, document: Any) -> tuple[int, bytes]:
        if self._dice.random() < 0.03:
            return 503, b""
        return super().call(operation, key, document)

    def of_customers(self) -> dict[int, list[int]]:
        """The numbers of each, as they came."""
        found: dict[int, list[int]] = defaultdict(list)
        for each in list(self.effects["number"]):
            found[each["customer"]].append(each["n"])
        return found


class Trial:
    """A bus directory, two processes on it, and what is behind them."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.partners = Flapping()
        servers = references(root, broker, database)
        for name, text in FILES.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(**servers, url=self.partners.url))
        self.store = open_store(database, root / "data")
        self.store.migrate()
        with closing(Bus(load(root, discover()), discover())) as bus:
            bus.prepare()
        self.broker = open_broker(broker, root / "data")
        self.processes = [BusProcess(root, root / f"bus{number}.log", {}) for number in range(2)]
        for process in self.processes:
            process.start("--role", "bus")

    def deliver(self, first: int, last: int) -> None:
        """Orders of all customers, by turns."""
        messages = [
            create(json.dumps({"customer": c, "n": n}).encode(), id=f"{c}-{n}", type="order", source="test")
            for n in range(first, last)
            for c in range(CUSTOMERS)
        ]
        publisher = self.broker.publisher("test")
        outcomes = publisher.publish([Outgoing(message, flow_queue("orders", ordered=True)) for message in messages])
        assert set(outcomes) == {Outcome.CONFIRMED}
        publisher.close()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.broker.close()
        self.store.close()
        self.partners.stop()


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    servers = ("embedded", "embedded")
    if request.param == "servers":
        servers = request.getfixturevalue("rabbitmq").vhost(), request.getfixturevalue("postgresql").database()
    trial = Trial(tmp_path, *servers)
    try:
        yield trial
    finally:
        trial.close()


@pytest.mark.timeout(400)
def test_no_order_is_passed_however_often_a_process_is_killed(trial: Trial) -> None:
    """The target is busy now and then, every tenth order waits for an answer; each order comes once, in its turn."""
    share = ORDERS // (KILLS + 1)
    for number in range(KILLS):
        trial.deliver(number * share, (number + 1) * share)
        wanted = (number * share + share // 2) * CUSTOMERS
        _wait(lambda: len(trial.partners.effects["number"]) >= wanted, f"{wanted} are there")
        victim = trial.processes[number % 2]
        victim.kill()
        victim.start("--role", "bus")
    trial.deliver(KILLS * share, ORDERS)
    _wait(lambda: len(trial.partners.effects["number"]) >= ORDERS * CUSTOMERS, "all are there")
    assert trial.partners.of_customers() == {customer: list(range(ORDERS)) for customer in range(CUSTOMERS)}
    _wait(lambda: _is_over(trial), "no line is left")


def _is_over(trial: Trial) -> bool:
    with trial.store.reading() as t:
        return not t.held.lines() and not t.parked.list()


def _wait(condition: Any, what: str, limit: float = 120.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)
