"""One hop: take, validate, map seven leaves, validate, publish confirmed, track, settle; by one process.

``python -m bench.hop`` measures the embedded broker, and RabbitMQ with the embedded store, and RabbitMQ with
PostgreSQL, as far as the servers are installed. The worker is the product's own, in this process; the queue is filled
before the clock starts. A message is a 1 KB order with eight application headers, and the journey is stored in full.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from esb.broker.port import Outgoing, flow_queue
from esb.bus import Bus, discover, quieten_collector
from esb.config import load
from esb.message import Message, create
from esb.worker.flow import Begun, FlowWorker

FILES = {
    "esb.yaml": 'bus: bench\nbroker: "{broker}"\ndatabase: "{database}"\n',
    "endpoints/shop.yaml": "endpoint: shop\nadapter: memory\nreceive: {{contract: order/v1}}\n",
    "endpoints/warehouse.yaml": """
endpoint: warehouse
adapter: memory
operations: {{pick: {{contract: pick/v1, effect: keyed}}}}
""",
    "flows/hop.yaml": "flow: hop\nfrom: shop\nsteps:\n  - map: order-to-pick\n  - send: warehouse.pick\n",
    "mappings/order-to-pick.yaml": """
mapping: order-to-pick
from: order/v1
to: pick/v1
set:
  order: '"SO-" & id'
  customer: customer.number
  country: customer.country
  express: priority = "high"
  weight: $sum(lines.weight)
  count: $count(lines)
  note: {{from: remark, default: ""}}
""",
    "contracts/order/v1.json": {
        "type": "object", "required": ["id", "customer", "lines"], "x-subject": "id",
        "properties": {
            "id": {"type": "string"}, "priority": {"enum": ["high", "normal"]}, "remark": {"type": "string"},
            "customer": {
                "type": "object", "required": ["number", "country"],
                "properties": {
                    "number": {"type": "string"}, "country": {"type": "string", "minLength": 2, "maxLength": 2},
                    "name": {"type": "string"}, "street": {"type": "string"},
                },
            },
            "lines": {
                "type": "array", "minItems": 1,
                "items": {
                    "type": "object", "required": ["sku", "quantity", "weight"],
                    "properties": {
                        "sku": {"type": "string"}, "quantity": {"type": "integer", "minimum": 1},
                        "weight": {"type": "number"}, "text": {"type": "string"},
                    },
                },
            },
        },
    },
    "contracts/pick/v1.json": {
        "type": "object", "required": ["order", "customer", "country"], "x-subject": "order",
        "properties": {
            "order": {"type": "string"}, "customer": {"type": "string"}, "country": {"type": "string"},
            "express": {"type": "boolean"}, "weight": {"type": "number"}, "count": {"type": "integer"},
            "note": {"type": "string"},
        },
    },
}  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=20_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--only", choices=["embedded", "rabbitmq", "servers"])
    chosen = options.parse_args()
    results = []
    for name in [chosen.only] if chosen.only else ["embedded", "rabbitmq", "servers"]:
        with places(name) as (broker, database):
            runs = [hop(broker, database, chosen.messages) for _ in range(chosen.runs)]
        results.append(summary(name, runs))
        rate, cpu = results[-1]["rate"], results[-1]["cpu"]
        print(f"{name:<10} {rate:>8,.0f} messages/s {cpu:>7.1f} µs of CPU each", flush=True)
    print(json.dumps({"bench": "hop", "messages": chosen.messages, "machine": machine(), "results": results}))


@contextmanager
def places(name: str) -> Iterator[tuple[str, str]]:
    """The addresses of a private broker and database."""
    with ExitStack() as servers:
        broker = database = "embedded"
        if name in ("rabbitmq", "servers"):
            from esb.testing.servers.rabbitmq import RabbitMqServer

            broker = servers.enter_context(RabbitMqServer()).url
        if name == "servers":
            from esb.testing.servers.postgresql import PostgresServer

            database = servers.enter_context(PostgresServer(durable=True)).database()
        yield broker, database


def hop(broker: str, database: str, messages: int) -> tuple[float, float]:
    """(messages per second, µs of this process's CPU per message) of one run."""
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), broker, database)
        bus = Bus(load(root, discover()), discover())
        bus.store.migrate()
        bus.prepare()
        for queue in (flow_queue("hop"), "esb.endpoint.warehouse"):
            bus.broker.purge(queue)
        fill(bus, messages)
        before = sent(bus)
        worker = Counting(bus.context)
        quieten_collector()
        cpu, began = time.process_time(), time.perf_counter()
        while worker.handled < messages:
            worker.cycle()
        took, used = time.perf_counter() - began, time.process_time() - cpu
        worker.finish()
        assert sent(bus) - before == messages, "every hop is tracked"
        bus.close()
    return messages / took, used / messages * 1e6


def sent(bus: Bus) -> int:
    """Commands that flows sent, as the store has it."""
    with bus.store.reading() as t:
        return t.tracking.ledger().sent


class Counting(FlowWorker):
    """The product's worker, counting."""

    handled = 0

    def _conclude(self, begun: Begun) -> None:
        super()._conclude(begun)
        self.handled += len(begun.runs)


def fill(bus: Bus, messages: int) -> None:
    publisher = bus.broker.publisher("fill")
    body = order()
    for start in range(0, messages, 1000):
        batch = [Outgoing(message(body), flow_queue("hop")) for _ in range(min(1000, messages - start))]
        publisher.publish(batch)
    publisher.close()


def message(body: bytes) -> Message:
    headers = {f"x-header-{number}": f"value {number}" for number in range(8)}
    return create(body, type="order", version=1, source="shop", subject="4711", headers=headers)


def order() -> bytes:
    """A 1 KB order."""
    line = {"sku": "A-4711-B", "quantity": 3, "weight": 1.25, "text": "a kettle, 1.7 l, brushed steel"}
    customer = {"number": "C-0815", "country": "DE", "name": "José Müller-Großmann", "street": "Lange Straße 123"}
    remark = "ring twice " * 15
    document = {"id": "4711", "priority": "high", "remark": remark, "customer": customer, "lines": [line] * 8}
    return msgspec.json.encode(document)


def write(root: Path, broker: str, database: str) -> None:
    for name, content in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        text = content.format(broker=broker, database=database) if isinstance(content, str) else json.dumps(content)
        file.write_text(text)


def summary(name: str, runs: list[tuple[float, float]]) -> dict[str, object]:
    return {
        "name": name, "rate": round(statistics.median(rate for rate, _ in runs)),
        "cpu": round(statistics.median(cpu for _, cpu in runs), 1), "rates": [round(rate) for rate, _ in runs],
    }  # fmt: skip


def machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


if __name__ == "__main__":
    main()
