"""The bus as one side of a benchmark: a fresh bus directory, a filled queue, and one to four flow workers on it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec

from bench.figures import Reading
from bench.meter import Meter
from bench.order import IN, OUT, copy_bus, order, waiting_order
from bench.process import CannotRun, Child
from bench.rabbit import Node, Queues
from esb.broker.port import Broker, Outcome, Outgoing
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover

START = 60.0  # seconds that a worker may take to be ready
SLOWEST = 200.0  # messages a second; whoever is slower is given up
_PIECE = 1000  # messages published at once
_STRIDE = 100_000  # messages between two words about a long filling
Sample = tuple[float, int, float]  # moment, messages settled so far, seconds of CPU so far


class Place(msgspec.Struct, frozen=True):
    """Where a bus runs: its broker and database, and how much it stores of each message."""

    broker: str = "embedded"
    database: str = "embedded"
    journey: str = "full"

    def environment(self) -> dict[str, str]:
        """As a bus is told."""
        return {"ESB_BROKER": self.broker, "ESB_DATABASE": self.database, "BENCH_JOURNEY": self.journey}


@contextmanager
def bus_directory(
    place: Place, flows: Sequence[str] = ("hop",), files: Mapping[str, str] | None = None, **variables: str
) -> Iterator[tuple[Path, Bus]]:
    """A fresh bus directory with its tables and queues, and the bus in it; queues are deleted in the end.

    Args: where; which of its flows; further files by their path within it; variables.
    """
    with ExitStack() as closing:
        root = copy_bus(Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="esb-bench-"))) / "bus", flows)
        for name, text in (files or {}).items():
            (root / name).write_text(text)
        bus = Bus(load(root, discover(), environ=os.environ | place.environment() | variables), discover())
        closing.callback(bus.close)
        closing.callback(clear, place)
        clear(place)  # what a run left behind that failed
        bus.store.migrate()
        bus.prepare()
        yield root, bus


def clear(place: Place) -> None:
    """Delete the queues that messages lay in; an embedded broker goes with its directory."""
    if place.broker != "embedded":
        with Queues(place.broker) as queues:
            queues.delete(IN, OUT)


def fill(broker: Broker, count: int, make: Callable[[], Outgoing], tell: Callable[[str], None] | None = None) -> None:
    """Publish so many, each with an id of its own."""
    publisher = broker.publisher("fill")
    for start in range(0, count, _PIECE):
        batch = (make() for _ in range(min(_PIECE, count - start)))
        if any(outcome is not Outcome.CONFIRMED for outcome in publisher.publish(batch)):
            raise CannotRun("the broker refused messages while a queue was filled")
        if tell and start % _STRIDE == 0 and start:
            tell(f"{start:,} of {count:,} messages are in the queue")
    publisher.close()


def orders() -> Callable[[], Outgoing]:
    """Makes orders for the flow's queue."""
    return partial(waiting_order, order())


def hop(place: Place, messages: int, workers: int = 1, node: Node | None = None, bare: bool = False) -> Reading:
    """Fill the queue of a fresh bus, let workers empty it, and see that every hop was tracked and sent.

    Args: where; how many messages; how many processes; the broker's node, to see its CPU; whether without any flow.
    """
    if node:
        node.begin()
    with bus_directory(place) as (root, bus):
        fill(bus.broker, messages, orders())
        if node:
            node.settle()
        reading = work(root, place, messages, workers, node, bare)
        with bus.store.reading() as t:
            sent = messages if bare else t.tracking.ledger().sent
        waiting = bus.broker.depths([OUT])[OUT].ready
        if (sent, waiting) != (messages, messages):
            raise CannotRun(f"of {messages} messages {sent} are tracked as sent, and {waiting} lie in the queue")
    return reading


def work(
    root: Path,
    place: Place,
    messages: int,
    workers: int = 1,
    node: Node | None = None,
    bare: bool = False,
    warm: int = 0,
) -> Reading:
    """Let workers settle so many messages that lie in the queue.

    Args: as for :func:`hop`; ``warm`` is how many are settled before the clock starts, a tenth where it is not given.
    """
    warm = warm or messages // 10
    with ExitStack() as running:
        broker = running.enter_context(Meter(node.cpu)) if node else None
        command: list[str | Path] = [sys.executable, "-m", "bench.worker", root, *(["bare"] if bare else [])]
        crew = [running.enter_context(Child(command, place.environment())) for _ in range(workers)]
        for child in crew:
            _expect(child, "ready")
        for child in crew:
            child.say("go")
        _await(crew, messages)
        memory = max(child.memory() for child in crew)
        for child in crew:
            child.hang_up()
        samples = [_samples(child) for child in crew]
    began, ended = moment(samples, warm), moment(samples, messages)
    count = messages - warm
    used = sum(at(each, ended) - at(each, began) for each in samples)
    reading = {"rate": count / (ended - began), "cpu": used / count * 1e6}
    if broker:
        reading["broker"] = broker.between(began, ended) / count * 1e6
    return reading | {"memory": memory / 1e6}


def moment(samples: Sequence[Sequence[Sample]], count: int) -> float:
    """When all of them together had settled so many."""
    steps = sorted((sample[0], sample[1] - before[1]) for each in samples for before, sample in _pairs(each))
    total = 0
    for when, more in steps:
        total += more
        if total >= count:
            return when
    raise CannotRun(f"the workers settled {total} messages of {count}")


def at(samples: Sequence[Sample], when: float) -> float:
    """Seconds of CPU that one had used at a moment, between two samples on the line that joins them."""
    for before, sample in _pairs(samples):
        if sample[0] >= when:
            share = max(when - before[0], 0.0) / (sample[0] - before[0])
            return before[2] + (sample[2] - before[2]) * share
    return samples[-1][2]


def _pairs(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Sample]]:
    return pairwise(samples)


def _expect(child: Child, word: str) -> None:
    said = child.line(START)
    if said != word:
        raise CannotRun(f"a worker said {said!r} instead of {word!r}")


def _await(crew: Sequence[Child], messages: int) -> None:
    """Until all of them together have settled so many."""
    deadline = time.monotonic() + START + messages / SLOWEST
    settled = [0] * len(crew)
    while sum(settled) < messages:
        if time.monotonic() > deadline:
            raise CannotRun(f"{sum(settled)} of {messages} messages were settled in time")
        for index, child in enumerate(crew):
            said = child.latest()
            settled[index] = int(said) if said else settled[index]
        time.sleep(0.01)


def _samples(child: Child) -> list[Sample]:
    while not (said := child.line(START)).startswith("{"):
        pass
    return [(when, settled, used) for when, settled, used in msgspec.json.decode(said)["samples"]]
