"""A small bus directory whose one flow each test writes itself."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from esb.config import Checked, Components, inspect, load
from esb.flow import STEPS, Flow, Result, build_parts
from esb.formats import FORMATS
from esb.message import Message, create
from esb.ports import Adapter, Features

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SALE = {"ticket": "4711", "country": "GB", "items": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}]}

FILES = {
    "esb.yaml": "bus: test\n",
    "endpoints/pos.yaml": "endpoint: pos\nadapter: fake\nreceive: {contract: sale/v1}\n",
    "endpoints/open.yaml": "endpoint: open\nadapter: fake\nreceive: {}\n",
    "endpoints/warehouse.yaml": """\
        endpoint: warehouse
        adapter: fake
        operations:
          order: {contract: warehouse.order/v1}
          note: {}
        """,
    "endpoints/search.yaml": "endpoint: search\nadapter: fake\noperations: {index: {}}\n",
    "lookups/names.csv": "code,name\nGB,Britain\nDE,Germany\n",
    "mappings/to-order.yaml": """\
        mapping: to-order
        from: sale/v1
        to: order/v1
        set: {orderId: '"SO-" & ticket', country: country}
        """,
    "mappings/to-warehouse.yaml": """\
        mapping: to-warehouse
        lookups: {names: lookups/names.csv}
        to: warehouse.order/v1
        set: {id: '$exists(orderId) ? orderId : ticket', land: $names(country)}
        """,
    "contracts/sale/v1.json": json.dumps(
        {
            "type": "object",
            "required": ["ticket"],
            "properties": {
                "ticket": {"type": "string"},
                "country": {"type": "string"},
                "items": {"type": "array", "items": {"type": "object"}},
            },
            "x-subject": "ticket",
        }
    ),
    "contracts/order/v1.json": json.dumps(
        {
            "type": "object",
            "required": ["orderId", "country"],
            "properties": {name: {} for name in ("orderId", "country", "lines")},
            "x-subject": "orderId",
        }
    ),
    "contracts/warehouse.order/v1.json": json.dumps({"type": "object", "required": ["id", "land"]}),
}


class Fake(Adapter):
    """Comes in, goes out, is never opened."""

    kind = "fake"
    features = Features(polls=True, sends=True)


class Bench:
    """A directory with one flow, and a way to run messages through it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.components = Components(adapters={"fake": Fake}, formats=FORMATS, steps=STEPS)
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def steps(self, steps: str, source: str = "pos") -> None:
        """Write the flow: ``steps`` is a YAML list."""
        text = textwrap.indent(textwrap.dedent(steps).strip("\n"), "  ")
        self.write("flows/sales.yaml", f"flow: sales\nfrom: {source}\nsteps:\n{text}\n")

    def check(self, steps: str, source: str = "pos") -> Checked:
        """What ``esb check`` says of the flow."""
        self.steps(steps, source)
        return inspect(self.root, self.components, environ={})

    def flow(self, steps: str, source: str = "pos") -> Flow:
        self.steps(steps, source)
        definition = load(self.root, self.components, environ={})
        return build_parts(definition).flows["sales"]

    def run(self, steps: str, document: Any = SALE, source: str = "pos", **attributes: Any) -> Result:
        return self.flow(steps, source).run(message(document, **attributes))


def message(document: Any = SALE, **attributes: Any) -> Message:
    """A message with a fixed id, time and trace."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    given = {
        "type": "sale",
        "version": 1,
        "source": "pos",
        "id": "0195d2a1-7c00-7000-8000-000000000001",
        "time": 1767225600.0,
        "traceparent": TRACE,
        "subject": "4711",
    }
    return create(body, **{**given, **attributes})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(name="message")
def message_factory() -> Any:
    return message
