"""The bus's own flow worker, in a process of its own, measured: what ``bench.crew`` starts.

    python -m bench.worker DIRECTORY [bare]

It says ``ready`` when it has connected, begins when it is told ``go``, and says after each batch how many messages it
has settled. At the end of its input it stops, and says as one JSON object when it had settled how many, and with how
much CPU. Broker and database come from the environment, as for any bus. ``bare``: no flow is run, and nothing tracked;
each message goes from queue to queue as it is, which is what the broker port itself can carry.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import msgspec

from bench.order import IN, OUT
from esb.broker import open_broker
from esb.broker.port import Broker, Consumer, Delivery, Outcome, Outgoing, Transfer
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.worker.context import Context
from esb.worker.flow import FlowWorker
from esb.worker.life import quieten_collector, return_memory
from esb.worker.thread import Worker


class Counter:
    """What was settled, and when: (moment, messages so far, seconds of CPU so far)."""

    def __init__(self) -> None:
        self.settled = 0
        self.samples: list[tuple[float, int, float]] = []

    def start(self) -> None:
        """The clock starts now."""
        self._note()

    def add(self, count: int) -> None:
        """So many more are settled."""
        self.settled += count
        self._note()
        print(self.settled, flush=True)

    def _note(self) -> None:
        self.samples.append((time.monotonic(), self.settled, time.process_time()))


class Counted:
    """A thing of the broker's, all as it is, but that what its consumers settle is counted."""

    def __init__(self, thing: Any, counter: Counter) -> None:
        self._thing = thing
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)


class CountedBroker(Counted):
    """The broker port, with consumers that count."""

    def consumer(self, queues: Sequence[str], prefetch: int, name: str = "") -> Consumer:
        """See the port."""
        return cast(Consumer, CountedConsumer(self._thing.consumer(queues, prefetch, name), self._counter))


class CountedConsumer(Counted):
    """A consumer whose transfers count."""

    def begin(self, batch: Iterable[Outgoing]) -> Transfer:
        """See the port."""
        return cast(Transfer, CountedTransfer(self._thing.begin(batch), self._counter))


class CountedTransfer(Counted):
    """A transfer that counts what its commit lets settle, once it is settled."""

    def conclude(self, commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See the port."""
        settled = 0

        def counting(outcomes: list[Outcome]) -> Sequence[Delivery]:
            nonlocal settled
            deliveries = commit(outcomes)
            settled += len(deliveries)
            return deliveries

        self._thing.conclude(counting)
        self._counter.add(settled)


class BareWorker(Worker):
    """Takes, publishes and settles in batches."""

    def __init__(self, context: Context) -> None:
        super().__init__("bare")
        settings = context.definition.config.worker
        self._batch = settings.batch
        self._consumer = context.broker.consumer([IN], settings.prefetch, self.name)

    def cycle(self) -> None:
        """One batch."""
        deliveries = self._consumer.take(self._batch, 1.0)
        results = [Outgoing(delivery.message, OUT) for delivery in deliveries]
        self._consumer.begin(results).conclude(lambda outcomes: deliveries)

    def interrupt(self) -> None:
        """See :class:`Worker`."""
        self._consumer.wake()

    def finish(self) -> None:
        """See :class:`Worker`."""
        self._consumer.close()


def main() -> None:
    """Work until the input ends."""
    definition, counter = load(sys.argv[1], discover()), Counter()
    broker = open_broker(definition.config.broker, definition.data_directory)
    bus = Bus(definition, discover(), broker=cast(Broker, CountedBroker(broker, counter)))
    worker = BareWorker(bus.context) if "bare" in sys.argv else FlowWorker(bus.context)
    quieten_collector()
    return_memory()
    print("ready", flush=True)
    sys.stdin.readline()
    counter.start()
    worker.start()
    sys.stdin.read()
    worker.stop()
    worker.join()
    bus.close()
    broker.close()
    print(msgspec.json.encode({"samples": counter.samples}).decode(), flush=True)


if __name__ == "__main__":
    main()
