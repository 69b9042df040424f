"""HTTP in: validate, publish confirmed, answer 202. Orders are sent over a few connections, as fast as it answers."""

from __future__ import annotations

from functools import partial

from bench.crew import Place, bus_directory
from bench.figures import Reading
from bench.meter import Meter
from bench.order import IN
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun, Child, processor_time
from bench.programs import Peer, Program, get_all, node, python
from bench.rabbit import Node, Queues
from bench.servers import start_rabbitmq
from bench.web import await_port, load, percentile, role
from esb.testing.servers import free_port

QUEUE = "bench.in"
CONNECTIONS = 32  # of the load generator
PEERS = (
    Peer("node", "Node http, amqplib", node("ingress_node.js")),
    Peer("aiopika", "Starlette, aio-pika", python("aiopika", "ingress_aiopika.py")),
)
COLUMNS = (
    Column("rate", "messages/s", spread=True),
    Column("cpu", "µs CPU each", ",.1f"),
    Column("p50", "ms p50", ",.1f"),
    Column("p99", "p99", ",.1f"),
)


def make(kit: Kit) -> Plan:
    """Start RabbitMQ, get the peers."""
    broker = start_rabbitmq(kit)
    peers, absent = get_all(tuple(peer for peer in PEERS if kit.wants(peer.name)), kit.workshop)
    sides = [
        Side("bus", "bus", partial(bus_takes, Place(broker.url))),
        Side("bus-embedded", "bus, embedded", partial(bus_takes, Place())),
        *(Side(peer.name, peer.title, partial(peer_takes, broker, program)) for peer, program in peers),
    ]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="aiopika", ours="bus", absent=absent)


BENCHMARK = Benchmark("ingress", "HTTP in", make, 5_000)


def bus_takes(place: Place, messages: int) -> Reading:
    """Orders sent to the web role, until all are answered and in the flow's queue."""
    with bus_directory(place) as (root, bus), role("web", root, place) as (child, url):
        reading = send(f"{url}/shop", messages, child.pid)
        waiting = bus.broker.depths([IN])[IN].ready
    if waiting != messages:
        raise CannotRun(f"{waiting} messages lie in the queue instead of {messages}")
    return reading


def peer_takes(broker: Node, program: Program, messages: int) -> Reading:
    """The same with another program."""
    port = free_port()
    command = [*program.command, broker.url, QUEUE, str(port)]
    with Queues(broker.url) as queues:
        queues.make(QUEUE)
        with Child(command, program.environment) as child:
            await_port(child, f"http://127.0.0.1:{port}/readyz")
            reading = send(f"http://127.0.0.1:{port}/shop", messages, child.pid)
        queues.await_depth(QUEUE, messages)
        queues.delete(QUEUE)
    return reading


def send(url: str, messages: int, server: int) -> Reading:
    """Send orders over a few connections, as fast as they are answered."""
    with Meter(partial(processor_time, server)) as cpu:
        began, ended = load(url, messages, CONNECTIONS)
    warm = messages // 10
    start, end, count = sorted(began)[warm], max(ended), messages - warm
    took = sorted(after - before for before, after in zip(began[warm:], ended[warm:], strict=True))
    used = cpu.between(start, end) / count * 1e6
    return {"rate": count / (end - start), "cpu": used, "p50": percentile(took, 50), "p99": percentile(took, 99)}
