"""One of ten systems hangs: each call to it is answered after 30 s. What is left of the rate of the nine others?

One flow sends every tenth order to each of ten endpoints that are configured alike, in one process. ``well``: all ten
answer. ``held``: the bus waits for the one that hangs, so that all calls it may have there are taken all the time.
``timed-out``: the bus gives up after a second each, so that retries, breaker, probes and delay queues are busy with it.
``off``: a person has paused it, so that nobody calls it at all: what the nine can have when the tenth costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import msgspec

from bench.crew import Place, bus_directory, fill
from bench.figures import Aim, Reading
from bench.meter import Meter
from bench.order import order, waiting_order
from bench.plan import Benchmark, Column, Kit, Plan, Side
from bench.process import CannotRun, processor_time
from bench.servers import start_rabbitmq
from bench.web import Report, arrived, role, system
from esb.broker.port import Outgoing, flow_queue

SYSTEMS = 10
HANGS = "depot0"  # the one that does
HANG = 30.0  # seconds
CONCURRENCY = 8
LEAST = 0.95  # of their rate that the others keep
MOODS = {
    "well": "all ten answer",
    "held": "one hangs, and is waited for",
    "timed-out": "one hangs, given up after 1 s",
    "off": "one is paused",
}
COLUMNS = (
    Column("rate", "others/s", spread=True),
    Column("cpu", "µs CPU each", ",.1f"),
    Column("hung", "calls that hung"),
)
_ENDPOINT = """\
endpoint: {name}
adapter: http
settings: {{url: "${{BENCH_SYSTEM:-http://127.0.0.1:9}}"}}
concurrency: {concurrency}
timeout: {timeout}
recovery: {{breaker: {{reset: 1s}}}}
operations:
  pick: {{post: /{name}, contract: pick/v1, effect: keyed}}
"""
_FLOW = """\
flow: ten
from: shop
steps:
  - map: order-to-pick
  - route:
      by: $substring(order, -1)
      table: depots
      rows: {rows}
      among: {among}
"""


def make(kit: Kit) -> Plan:
    """Start RabbitMQ; each run has a virtual host of its own there, for what was sent to the one that hangs stays."""
    broker = start_rabbitmq(kit)
    sides = [
        *(Side(mood, f"RabbitMQ, {title}", partial(_on, broker.vhost, mood)) for mood, title in MOODS.items()),
        *(
            Side(f"{mood}-embedded", f"embedded, {title}", partial(measure, Place(), mood), against="well-embedded")
            for mood, title in MOODS.items()
        ),
    ]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="well", ours="held", compared="all ten", aims=tuple(_aims()))


BENCHMARK = Benchmark("hanging", "One endpoint of ten hangs for 30 s a call", make, 10_000)


def measure(place: Place, mood: str, messages: int) -> Reading:
    """Orders in the flow's queue, until the nine have theirs. Raises ``CannotRun`` if the tenth was not kept busy."""
    hangs = mood in ("held", "timed-out")
    timeout = "1s" if mood == "timed-out" else f"{2 * HANG:.0f}s"
    with (
        system(f"/{HANGS}" if hangs else "", HANG) as (outside, url),
        bus_directory(place, (), files(timeout), BENCH_SYSTEM=url) as (root, bus),
    ):
        numbers = count()
        fill(bus.broker, messages, lambda: _numbered(next(numbers)))
        if mood == "off":
            with bus.store.transaction() as t:
                t.pauses.pause(HANGS, "bench", "to compare with")
        with (
            role("bus", root, place, BENCH_SYSTEM=url) as (child, _),
            Meter(partial(processor_time, child.pid)) as cpu,
        ):
            wanted = messages if mood == "well" else messages - len(range(0, messages, SYSTEMS))
            report = arrived(outside, wanted, child)
    if hangs and report.hung < CONCURRENCY:
        raise CannotRun(f"only {report.hung} calls hung at once, and {CONCURRENCY} may")
    return _reading(report, messages, cpu)


def files(timeout: str) -> dict[str, str]:
    """The ten endpoints and their flow."""
    names = [f"depot{digit}" for digit in range(SYSTEMS)]
    rows = {name[-1]: name for name in names}
    among = {name: f"{name}.pick" for name in names}
    found = {
        f"endpoints/{name}.yaml": _ENDPOINT.format(name=name, concurrency=CONCURRENCY, timeout=timeout)
        for name in names
    }
    flow = _FLOW.format(rows=msgspec.json.encode(rows).decode(), among=msgspec.json.encode(among).decode())
    return found | {"flows/ten.yaml": flow}


def _on(vhost: Callable[[], str], mood: str, messages: int) -> Reading:
    return measure(Place(vhost()), mood, messages)


def _numbered(number: int) -> Outgoing:
    return msgspec.structs.replace(waiting_order(order(number)), to=flow_queue("ten"))


def _reading(report: Report, messages: int, cpu: Meter) -> Reading:
    """The rate of the nine, without the first tenth."""
    others = sorted(report.came[f"SO-{number}"] for number in range(messages) if number % SYSTEMS)
    warm = len(others) // 10
    took, number = others[-1] - others[warm], len(others) - warm
    used = cpu.between(others[warm], others[-1])
    return {"rate": number / took, "cpu": used / number * 1e6, "hung": float(report.hung)}


def _aims() -> Iterator[Aim]:
    for place in ("", "-embedded"):
        for mood in ("held", "timed-out"):
            for other in ("well", "off"):
                text = f"{'RabbitMQ' if not place else 'embedded'}, {MOODS[mood]}: of the rate where {MOODS[other]}"
                yield Aim(text, (f"{mood}{place}",), against=f"{other}{place}", at_least=LEAST)
