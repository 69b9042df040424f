"""One to four flow workers on one queue, each a process, beside the C relay as the yardstick."""

from __future__ import annotations

from functools import partial

import msgspec

from bench.figures import Aim
from bench.hop import COLUMNS, PEERS, bus, measure, on_postgresql
from bench.plan import Benchmark, Kit, Plan, Side
from bench.process import CannotRun
from bench.programs import get_all
from bench.servers import start_postgresql, start_rabbitmq

WORKERS = (1, 2, 3, 4)
AIMS = (
    Aim(
        "best number of processes, of the C relay",
        tuple(f"{name}-{count}" for name in ("bus", "bus-postgresql") for count in WORKERS),
        against="relay",
        at_least=0.5,
    ),
)


def make(kit: Kit) -> Plan:
    """Start the servers, get the relay."""
    broker = start_rabbitmq(kit)
    peers, absent = get_all(PEERS[:1], kit.workshop)
    sides = [_with(count, bus(broker, "full", count)) for count in WORKERS]
    try:
        server = start_postgresql(kit)
        sides += [_with(count, on_postgresql(broker, server, count)) for count in WORKERS]
    except CannotRun as reason:
        absent["bus, PostgreSQL"] = str(reason)
    sides += [Side(peer.name, peer.title, partial(measure, broker, program), peer.share) for peer, program in peers]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="relay", ours="bus-1", aims=AIMS, absent=absent)


def _with(count: int, side: Side) -> Side:
    title = f"{side.title}, {count} process{'es' if count > 1 else ''}"
    return msgspec.structs.replace(side, name=f"{side.name}-{count}", title=title)


BENCHMARK = Benchmark("processes", "One to four processes over RabbitMQ", make, 40_000)
