"""HTTP out: take, call, acknowledge, sixteen calls at once. The bus also keeps its inbox and the journey."""

from __future__ import annotations

from functools import partial

from bench.crew import Place, bus_directory, fill
from bench.figures import Reading
from bench.meter import Meter
from bench.order import pick, waiting_pick
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun, Child, processor_time
from bench.programs import Peer, Program, get_all, node, python
from bench.rabbit import Node, Queues
from bench.servers import start_rabbitmq
from bench.web import arrived, role, system

QUEUE = "bench.in"
PEERS = (
    Peer("node", "Node http, amqplib", node("delivery_node.js")),
    Peer("aiopika", "aiohttp, aio-pika", python("aiopika", "delivery_aiopika.py")),
)
COLUMNS = (Column("rate", "messages/s", spread=True), Column("cpu", "µs CPU each", ",.1f"))


def make(kit: Kit) -> Plan:
    """Start RabbitMQ, get the peers."""
    broker = start_rabbitmq(kit)
    peers, absent = get_all(tuple(peer for peer in PEERS if kit.wants(peer.name)), kit.workshop)
    sides = [
        Side("bus", "bus", partial(bus_delivers, Place(broker.url))),
        Side("bus-embedded", "bus, embedded", partial(bus_delivers, Place())),
        *(Side(peer.name, peer.title, partial(peer_delivers, broker, program)) for peer, program in peers),
    ]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="aiopika", ours="bus", absent=absent)


BENCHMARK = Benchmark("delivery", "HTTP out", make, 5_000)


def bus_delivers(place: Place, messages: int) -> Reading:
    """Commands in the warehouse's queue, until the system has all of them."""
    with system() as (outside, url), bus_directory(place, BENCH_SYSTEM=url) as (root, bus):
        fill(bus.broker, messages, partial(waiting_pick, pick()))
        with role("bus", root, place, BENCH_SYSTEM=url) as (child, _):
            return delivered(child, outside, messages)


def peer_delivers(broker: Node, program: Program, messages: int) -> Reading:
    """The same with another program."""
    with system() as (outside, url), Queues(broker.url) as queues:
        queues.make(QUEUE)
        queues.fill(QUEUE, pick(), messages, **program.properties)
        with Child([*program.command, broker.url, QUEUE, url], program.environment) as child:
            reading = delivered(child, outside, messages)
        queues.delete(QUEUE)
    return reading


def delivered(sender: Child, outside: Child, messages: int) -> Reading:
    """Wait until everything has arrived, and look at when it did."""
    with Meter(partial(processor_time, sender.pid)) as cpu:
        report = arrived(outside, messages, sender)
    warm, arrivals = messages // 10, report.arrivals
    if len(arrivals) != messages:
        raise CannotRun(f"{len(arrivals)} calls arrived instead of {messages}")
    start, end, count = arrivals[warm], arrivals[-1], messages - warm
    return {"rate": count / (end - start), "cpu": cpu.between(start, end) / count * 1e6}
