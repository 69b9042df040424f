"""One hop over RabbitMQ: take, validate, map seven leaves, validate, publish confirmed, acknowledge.

The bus also tracks each message, with its body where the journey is full. Peers do all the rest in one process each,
on the same broker, from a quorum queue to a quorum queue.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import msgspec

from bench import crew
from bench.crew import Place
from bench.figures import Aim, Reading
from bench.meter import Meter
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun, Child
from bench.programs import Peer, Program, celery, get_all, node, python, relay
from bench.rabbit import Node, Queues
from bench.servers import start_postgresql, start_rabbitmq
from esb.testing.servers.postgresql import PostgresServer

IN, OUT = "bench.in", "bench.out"
START = 60.0  # seconds that a peer may take to start
SLOWEST = 100.0  # messages a second; whoever is slower is given up
PEERS = (
    Peer("relay", "C relay", relay()),
    Peer("relay-confirm", "C relay, confirmed", relay("confirm")),
    Peer("node", "Node amqplib", node("hop_node.js")),
    Peer("node-jsonata", "Node amqplib, JSONata", node("hop_node.js", "jsonata")),
    Peer("aiopika", "aio-pika", python("aiopika", "hop_aiopika.py"), share=0.5),
    Peer("faststream", "FastStream", python("faststream", "hop_faststream.py"), share=0.25),
    Peer("celery", "Celery", celery, share=0.25),
)
COLUMNS = (
    Column("rate", "messages/s", spread=True),
    Column("cpu", "µs CPU each", ",.1f"),
    Column("broker", "of the broker", ",.1f"),
)
AIMS = (
    Aim("one process, of the C relay", ("bus",), against="relay", at_least=0.4),
    Aim("one process, times FastStream", ("bus",), against="faststream", at_least=8),
    Aim("one process with PostgreSQL, of the C relay", ("bus-postgresql",), against="relay", at_least=0.35),
)


def make(kit: Kit) -> Plan:
    """Start the servers, get the peers."""
    broker = start_rabbitmq(kit)
    peers, absent = get_all(tuple(peer for peer in PEERS if kit.wants(peer.name)), kit.workshop)
    sides = [bus(broker, level) for level in ("full", "headers", "errors")]
    if kit.wants("bus-postgresql"):
        try:
            sides.append(on_postgresql(broker, start_postgresql(kit)))
        except CannotRun as reason:
            absent["bus, PostgreSQL"] = str(reason)
    sides += [Side(peer.name, peer.title, partial(measure, broker, program), peer.share) for peer, program in peers]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="relay", ours="bus", aims=AIMS, absent=absent)


BENCHMARK = Benchmark("hop", "One hop over RabbitMQ", make, 40_000)


def bus(broker: Node, journey: str, workers: int = 1) -> Side:
    """The bus with its embedded database."""
    place = Place(broker.url, journey=journey)
    name, title = ("bus", "bus") if journey == "full" else (f"bus-{journey}", f"bus, journey {journey}")
    return Side(name, title, partial(crew.hop, place, workers=workers, node=broker))


def on_postgresql(broker: Node, server: PostgresServer, workers: int = 1) -> Side:
    """The bus with a PostgreSQL on the same machine, a fresh database each time."""

    def measure(messages: int) -> Reading:
        database = server.database()
        try:
            return crew.hop(Place(broker.url, database), messages, workers, broker)
        finally:
            server.drop(database)

    return Side("bus-postgresql", "bus, PostgreSQL", measure)


def measure(broker: Node, program: Program, messages: int) -> Reading:
    """Fill a peer's queue, let it empty it, and see that everything arrived."""
    warm = messages // 10
    broker.begin()
    with Queues(broker.url) as queues:
        queues.make(IN, OUT)
        queues.fill(IN, program.body, messages, **program.properties)
        broker.settle()
        with Meter(broker.cpu) as meter:
            said = _run(program, [broker.url, IN, OUT, str(messages), str(warm)], START + messages / SLOWEST)
        queues.await_depth(OUT, messages)
        queues.delete(IN, OUT)
    count = said["messages"]
    return {
        "rate": count / (said["ended"] - said["began"]),
        "cpu": said["cpu"] / count * 1e6,
        "broker": meter.between(said["began"], said["ended"]) / count * 1e6,
    }


def _run(program: Program, arguments: list[str], limit: float) -> dict[str, float]:
    with ExitStack() as running:
        child = running.enter_context(Child([*program.command, *arguments, *program.options], program.environment))
        while not (said := child.line(limit)).startswith("{"):
            pass
    return msgspec.json.decode(said, type=dict[str, float])
