"""The rate of a hop, and the memory it takes, while a backlog of other messages waits behind.

Each backlog has a broker of its own: a node that holds a million messages must not slow the one that holds none. What
a run takes from the queue is put back at its end before the next.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from bench import crew
from bench.crew import Place
from bench.figures import Aim, Reading
from bench.order import IN, OUT, copy_bus
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun
from bench.rabbit import Node
from bench.servers import start_rabbitmq
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover

RETURNED = 1_000  # an earlier worker took some of these and gave them back: they run alone, and are not measured
SIZES = {"0": 0, "10k": 10_000, "1M": 1_000_000}
COLUMNS = (
    Column("rate", "messages/s", spread=True),
    Column("cpu", "µs CPU each", ",.1f"),
    Column("memory", "MB of the worker"),
    Column("node", "MB of RabbitMQ"),
)


class Backlog(msgspec.Struct):
    """A bus whose queue is never empty: where it is, and how many messages stay behind."""

    place: Place
    root: Path
    size: int
    node: Node | None
    kit: Kit

    def measure(self, messages: int) -> Reading:
        """Fill up, so that so many can be taken and the backlog stays; then take them."""
        (self.root / "data").mkdir(exist_ok=True)
        for file in (self.root / "data").glob("store.db*"):
            file.unlink()  # rows of earlier runs are another matter
        bus = Bus(load(self.root, discover(), environ=os.environ | self.place.environment()), discover())
        try:
            bus.store.migrate()
            bus.prepare()
            bus.broker.purge(OUT)
            missing = self.size + RETURNED + messages - bus.broker.depths([IN])[IN].ready
            crew.fill(bus.broker, missing, crew.orders(), self.kit.tell)
        finally:
            bus.close()
        if self.node:
            self.node.settle()
        reading = crew.work(self.root, self.place, RETURNED + messages, node=self.node, warm=RETURNED)
        return reading | ({"node": self.node.resident() / 1e6} if self.node else {})


def make(kit: Kit) -> Plan:
    """A broker for each backlog; they are filled when they are first measured."""
    sides, absent = [], {}
    for kind in ("rabbitmq", "embedded"):
        for word, size in SIZES.items():
            name, title = f"{kind}-{word}", f"{'RabbitMQ' if kind == 'rabbitmq' else 'embedded'}, {word} behind"
            if not kit.wants(name):
                continue
            try:
                node = start_rabbitmq(kit) if kind == "rabbitmq" else None
            except CannotRun as reason:
                absent[title] = str(reason)
                continue
            sides.append(Side(name, title, _backlog(kit, node, size).measure, against=f"{kind}-0"))
    return Plan(
        sides, COLUMNS, yardstick="rabbitmq-0", ours="rabbitmq-1M", compared="of none behind", aims=_aims(),
        absent=absent,
    )  # fmt: skip


def _backlog(kit: Kit, node: Node | None, size: int) -> Backlog:
    directory = kit.open.enter_context(tempfile.TemporaryDirectory(prefix="esb-bench-"))
    place = Place(node.url) if node else Place()
    return Backlog(place, copy_bus(Path(directory) / "bus", ["hop"]), size, node, kit)


def _aims() -> tuple[Aim, ...]:
    text = "the rate with a million behind, of that with none"
    return tuple(
        Aim(f"{kind}: {text}", (f"{kind}-1M",), against=f"{kind}-0", at_least=0.9) for kind in ("rabbitmq", "embedded")
    )


BENCHMARK = Benchmark("backlog", "With a backlog", make, 20_000)
