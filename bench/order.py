"""The work that all sides do: a 1 KB order with eight headers, and the bus directory that says what becomes of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from esb.broker.port import Outgoing, endpoint_queue, flow_queue
from esb.message import create

IN, OUT = flow_queue("hop"), endpoint_queue("warehouse")
BUS = Path(__file__).parent / "bus"
HEADERS = {f"x-header-{number}": f"value {number}" for number in range(8)}


def order(number: int = 4711) -> bytes:
    """A 1 KB order."""
    line = {"sku": "A-4711-B", "quantity": 3, "weight": 1.25, "text": "a kettle, 1.7 l, brushed steel"}
    customer = {"number": "C-0815", "country": "DE", "name": "José Müller-Großmann", "street": "Lange Straße 123"}
    remark = "ring twice " * 15
    document = {
        "id": str(number), "priority": "high", "remark": remark, "customer": customer, "lines": [line] * 8
    }  # fmt: skip
    return msgspec.json.encode(document)


def pick(number: int = 4711) -> bytes:
    """What the mapping makes of an order."""
    document = {
        "order": f"SO-{number}", "customer": "C-0815", "country": "DE", "express": True, "weight": 10.0, "count": 8,
        "note": "ring twice " * 15,
    }  # fmt: skip
    return msgspec.json.encode(document)


def waiting_order(body: bytes) -> Outgoing:
    """An order for the flow's queue."""
    message = create(body, type="order", version=1, source="shop", subject="4711", headers=HEADERS)
    return Outgoing(message, IN)


def waiting_pick(body: bytes) -> Outgoing:
    """What a flow sends, for the warehouse's queue."""
    message = create(body, type="pick", version=1, source="hop", subject="SO-4711", headers=HEADERS)
    return Outgoing(message, OUT, properties={"operation": "pick"})


def copy_bus(place: Path, flows: Sequence[str]) -> Path:
    """A fresh bus directory, with these flows only; returns where it is."""
    shutil.copytree(BUS, place, ignore=shutil.ignore_patterns("data"))
    for file in (place / "flows").iterdir():
        if file.stem not in flows:
            file.unlink()
    return place
