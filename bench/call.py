"""The time that the bus adds to a call: an order comes in over HTTP, a system is asked, and what it answered goes on.

    POST ──▶ ingress ──▶ flow ──▶ endpoint ──▶ the system is asked          (ask)
    the system answers ──▶ endpoint ──▶ flow ──▶ endpoint ──▶ delivered     (on)

Every arrow between two parts of the bus is a queue of the broker, confirmed. ``added`` is both together: the time from
the beginning of the POST to the delivery, without the time that the system takes. Orders come at half the rate that
the bus was seen to carry just before; the ingress and the bus role are a process each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from bench.crew import Place, bus_directory
from bench.figures import Aim, Reading
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun, Child
from bench.rabbit import Node
from bench.servers import start_postgresql, start_rabbitmq
from bench.web import Report, arrived, load, percentile, role, system
from esb.testing.servers.postgresql import PostgresServer

CONNECTIONS = 64  # of the load generator: more than are ever busy
ASKING = 32  # orders on their way when the bus is seen to its limit
CALLS = 2  # that arrive for each order: a question, and what is delivered
SHARES = (50, 99)
COLUMNS = (
    Column("load", "orders/s"),
    Column("added-p50", "added ms p50", ",.1f", spread=True),
    Column("added-p99", "p99", ",.1f", spread=True),
    Column("answer-p50", "202 p50", ",.1f"),
    Column("ask-p50", "ask p50", ",.1f"),
    Column("on-p50", "on p50", ",.1f"),
)
AIMS = (
    Aim("added over RabbitMQ, p50 in ms", ("bus",), key="added-p50", at_most=10),
    Aim("added over RabbitMQ, p99 in ms", ("bus",), key="added-p99", at_most=40),
)


class Running(msgspec.Struct):
    """A bus that runs, and the system that it asks."""

    url: str
    outside: Child
    working: Child
    asked: int = 0  # orders so far

    def send(self, messages: int, connections: int, rate: float) -> tuple[list[float], list[float], Report]:
        """When orders began and were answered; and, when all are through, when what arrived at the system."""
        began, ended = load(f"{self.url}/clerk", messages, connections, rate)
        self.asked += messages
        return began, ended, arrived(self.outside, self.asked * CALLS, self.working)


def make(kit: Kit) -> Plan:
    """Start the servers."""
    broker, absent = start_rabbitmq(kit), {}
    sides = [
        Side("bus", "RabbitMQ", partial(measure, Place(broker.url))),
        Side("bus-embedded", "embedded", partial(measure, Place())),
    ]
    if kit.wants("bus-postgresql"):
        try:
            sides.insert(1, _on_postgresql(broker, start_postgresql(kit)))
        except CannotRun as reason:
            absent["RabbitMQ, PostgreSQL"] = str(reason)
    chosen = kit.chosen(sides)
    return Plan(chosen, COLUMNS, yardstick="bus", ours="bus", compare="added-p50", aims=AIMS, absent=absent)


def _on_postgresql(broker: Node, server: PostgresServer) -> Side:
    def with_fresh_database(messages: int) -> Reading:
        return measure(Place(broker.url, server.database()), messages)

    return Side("bus-postgresql", "RabbitMQ, PostgreSQL", with_fresh_database)


BENCHMARK = Benchmark("call", "Time that is added to a call", make, 2_000)


def measure(place: Place, messages: int) -> Reading:
    """Find the limit, then send at half of it."""
    with running(place) as bus:
        limit = _limit(*bus.send(messages, ASKING, 0.0))
    with running(place) as bus:
        return {"load": limit / 2} | _times(*bus.send(messages, CONNECTIONS, limit / 2))


@contextmanager
def running(place: Place) -> Iterator[Running]:
    """The roles bus and web of a fresh bus."""
    with (
        system() as (outside, url),
        bus_directory(place, ["ask"], BENCH_SYSTEM=url) as (root, _),
        role("bus", root, place, BENCH_SYSTEM=url) as (working, _),
        role("web", root, place, BENCH_SYSTEM=url) as (_, address),
    ):
        yield Running(address, outside, working)


def _limit(began: Sequence[float], ended: Sequence[float], report: Report) -> float:
    """Orders a second that came through, without the first tenth."""
    arrivals = sorted(report.came[f"SO-{number + 1}"] for number in range(len(began)))
    warm = len(arrivals) // 10
    return (len(arrivals) - warm) / (arrivals[-1] - arrivals[warm])


def _times(began: Sequence[float], ended: Sequence[float], report: Report) -> Reading:
    """Percentiles of each way, in milliseconds, without the first tenth."""
    ways: dict[str, list[float]] = {"added": [], "answer": [], "ask": [], "on": []}
    for index in range(len(began) // 10, len(began)):
        start, asked, delivered = began[index], report.came[f"/stock/{index + 1}"], report.came[f"SO-{index + 1}"]
        times = (delivered - start, ended[index] - start, asked - start, delivered - asked)
        for way, time in zip(ways.values(), times, strict=True):
            way.append(time)
    return {f"{name}-p{share}": percentile(sorted(way), share) for name, way in ways.items() for share in SHARES}
