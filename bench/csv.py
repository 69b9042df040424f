"""A large CSV file through the bus: how fast its rows become messages, and how much memory that takes.

The file is dropped where the adapter looks; the clock stops when the ledger says that nothing is under way. What is
printed as memory is the most that the process of the bus ever had, so it bounds what any part of the way holds.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.crew import Place
from bench.figures import Aim, Reading
from bench.order import copy_bus
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun, Child, processor_time
from bench.web import START, role
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.store import Ledger

ROWS = 10_000_000  # of 100 bytes: a gigabyte
SLOWEST = 1_000.0  # rows a second; whoever is slower is given up
_HEAD = "sku,shelf,left,text\n"
_PIECE = 10_000  # rows written at once
_LOOK = 1.0  # seconds between two looks at the ledger
COLUMNS = (
    Column("rate", "rows/s", spread=True),
    Column("cpu", "µs CPU each", ",.1f"),
    Column("size", "MB of the file"),
    Column("memory", "MB of the bus, at most", ",.0f", spread=True),
)
AIMS = (Aim("a gigabyte of CSV, MB of memory", ("batches",), key="memory", at_most=200),)


def make(kit: Kit) -> Plan:
    """Nothing has to be installed."""
    sides = [
        Side("batches", "500 rows a message, split again into pages of 100", partial(through, "list")),
        Side("records", "a row a message", partial(through, "rows"), share=0.02),
    ]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="batches", ours="batches", aims=AIMS)


BENCHMARK = Benchmark("csv", "A file of CSV", make, ROWS)


def through(flow: str, rows: int, prefetch: int = 600) -> Reading:
    """Drop a file of so many rows, and wait until what came of it has ended.

    ``prefetch``: messages that a flow holds at most, if they come in faster than it works.
    """
    with tempfile.TemporaryDirectory(prefix="esb-bench-") as directory:
        root = copy_bus(Path(directory) / "bus", [flow])
        size = write(root / "dropped" / f"{flow}.csv.part", rows)
        with role("bus", root, Place(), BENCH_PREFETCH=str(prefetch)) as (child, _):
            began, used = time.monotonic(), processor_time(child.pid)
            (root / "dropped" / f"{flow}.csv.part").rename(root / "dropped" / f"{flow}.csv")
            await_end(root, flow, rows, child)
            seconds, used = time.monotonic() - began, processor_time(child.pid) - used
            memory = peak(child.pid)
    return {"rate": rows / seconds, "cpu": used / rows * 1e6, "size": size / 1e6, "memory": memory / 1e6}


def write(path: Path, rows: int) -> int:
    """A list of articles; its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        file.write(_HEAD)
        for first in range(0, rows, _PIECE):
            file.write("".join(map(_row, range(first, min(first + _PIECE, rows)))))
    return path.stat().st_size


def _row(number: int) -> str:
    text = "a kettle of 1.7 l in brushed steel with a lid; keep it away from frost and wet"
    return f"A-{number:09},{number % 997:04},{number % 1000:03},{text}.\n"


def await_end(root: Path, flow: str, rows: int, child: Child) -> None:
    """Until every row came in and nothing is under way; nothing may be parked."""
    bus = Bus(load(root, discover(), environ=os.environ | Place().environment()), discover())
    deadline = time.monotonic() + START + rows / SLOWEST
    expected = -(-rows // 500) if flow == "list" else rows
    try:
        for ledger in _ledgers(bus):
            child.latest()  # raises when it has died
            if ledger.parked or ledger.accepted > expected:
                raise CannotRun(f"{ledger.parked} messages are parked, {ledger.accepted} came of {expected}")
            if ledger.accepted == expected and ledger.settled:
                return
            if time.monotonic() > deadline:
                raise CannotRun(f"{ledger.accepted} of {expected} messages came in time")
    finally:
        bus.close()


def _ledgers(bus: Bus) -> Iterator[Ledger]:
    bus.store.migrate()
    while True:
        time.sleep(_LOOK)
        with bus.store.reading() as t:
            yield t.tracking.ledger()


def peak(pid: int) -> float:
    """Bytes of memory that a process had at most."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise CannotRun("this system does not tell how much memory a process had at most")
    return int(found[1]) * 1024
