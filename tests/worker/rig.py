"""A small bus whose workers a test drives by hand, so that nothing has to be waited for that a test can do itself."""

from __future__ import annotations

import gc
import json
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from esb.adapters.memory import Box, MemoryAdapter
from esb.broker.port import Outgoing, Transfer, endpoint_queue, flow_queue
from esb.bus import Bus, make_upkeep
from esb.config import Components, load
from esb.errors import BrokerDown, StoreDown
from esb.flow import STEPS
from esb.formats import FORMATS
from esb.message import Message, create
from esb.ports import Features, HttpRequest, Reply, Request, Settings
from esb.store import Hop, Ledger, Parked
from esb.worker.context import pass_by
from esb.worker.endpoint import EndpointWorker
from esb.worker.flow import FlowWorker
from esb.worker.inbound import InboundWorker
from esb.worker.poller import Poller
from esb.worker.sweeper import Sweeper
from esb.worker.thread import Worker
from esb.worker.timers import fire_due
from esb.worker.upkeep import Upkeep
from tests.references import references

LIMIT = 10.0  # seconds

PART = {"type": "object", "properties": {"sku": {"type": "string"}}}
ORDER = {
    "type": "object",
    "required": ["number"],
    "properties": {"number": {"type": "integer"}, "key": {}, "items": {"type": "array", "items": PART}},
    "x-subject": "key",
}

FILES = {
    "esb.yaml": """\
        bus: rig
        broker: "{broker}"
        database: "{database}"
        worker: {{lease: 3s, drain: 3s}}
        recovery: {{retries: 0, delays: [50ms, 100ms], breaker: {{failures: 100, reset: 50ms}}}}
        """,
    "endpoints/source.yaml": """\
        endpoint: source
        adapter: scripted
        format: {json: {records: lines}}
        receive: {contract: order/v1, poll: 10ms}
        """,
    "endpoints/target.yaml": """\
        endpoint: target
        adapter: scripted
        concurrency: 4
        timeout: 2s
        operations:
          put: {effect: keyed}
          shoot: {effect: unkeyed}
        """,
    "flows/main.yaml": """\
        flow: main
        from: source
        steps:
          - send: target.put
          - publish: order/v1
        """,
    "contracts/order/v1.json": json.dumps(ORDER),
}


class Outside(Box):
    """What lies beyond one endpoint, for all processes alike, and what it does with a request."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Request] = []
        self.script: Callable[[Request], Reply | None] = lambda request: None
        self.health: Callable[[], None] = lambda: None
        self.batches: list[int] = []  # sizes
        self.asked: list[Request] = []
        self.answerable: Callable[[Request], None] = lambda request: None

    def numbers(self) -> list[int]:
        """Of the orders that had an effect."""
        return [request.document["number"] for request in list(self.sent)]


class Asked(Settings):
    """What an operation of a scripted endpoint may say."""

    asks: bool = False  # whether it can be asked what took place


class Scripted(MemoryAdapter):
    """The memory adapter, with an outside that may misbehave as a test wants."""

    kind: ClassVar[str] = "scripted"
    features: ClassVar[Features] = Features(
        polls=True, sends=True, keyed=True, serves=True, replies=True, batches=True, probes=True
    )
    Operation: ClassVar[Any] = Asked
    outside: Outside

    @classmethod
    def can_tell(cls, settings: Any, operation: Asked) -> bool:
        return operation.asks

    def check(self) -> str:
        self.outside.health()
        return "well"

    def send(self, request: Request) -> Reply:
        self.outside.calls.append(request)
        reply = self.outside.script(request)
        self.outside.receive(request)
        return reply or Reply(detail="taken")

    def send_all(self, requests: Sequence[Request]) -> Sequence[Any]:
        self.outside.batches.append(len(requests))
        return super().send_all(requests)

    def took_place(self, request: Request) -> Reply | None:
        self.outside.asked.append(request)
        self.outside.answerable(request)
        return Reply(detail="it was there") if request.key in self.outside.keys else None

    def accept(self, request: HttpRequest) -> Any:
        raise AssertionError("these tests call the intake themselves")


COMPONENTS = Components(adapters={"scripted": Scripted}, formats=FORMATS, steps=STEPS)


class Dies(BaseException):
    """A process ends here."""


class Point:
    """Ends the process at the nth visit of a point; counts visits."""

    def __init__(self, name: str = "", visit: int = 1) -> None:
        self.name, self.left = name, visit

    def __call__(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left == 0:
                raise Dies(name)


class Rig:
    """A bus directory and any number of processes on it."""

    def __init__(
        self, root: Path, broker: str = "embedded", database: str = "embedded", store: Path | None = None
    ) -> None:
        """Args: the directory; URLs of servers; an embedded store that has its tables, to copy."""
        gc.collect()
        gc.freeze()  # or each collection of this test would look at all that earlier ones imported
        self.root = root
        self.outsides: dict[str, Outside] = {}
        self._open: list[Bus] = []
        self._servers = references(root, broker, database)
        for name, text in FILES.items():
            self.write(name, text)
        if store:
            (root / "data").mkdir()
            shutil.copy(store, root / "data" / "store.db")

    def write(self, name: str, text: str) -> None:
        """A file of the bus."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(text)
        path.write_text(text.format(**self._servers) if name == "esb.yaml" else text)

    def bus(self, point: Callable[[str], None] = pass_by, prepare: bool = True, **more: Any) -> Bus:
        """One more process."""
        bus = Bus(load(self.root, COMPONENTS, environ={}), COMPONENTS, point=point, **more)
        self._open.append(bus)
        for name, adapter in bus.adapters.items():
            adapter.outside = adapter.box = self.outside(name)  # type: ignore[attr-defined]
        if prepare:
            if not bus.store.embedded:
                bus.store.migrate()
            bus.prepare()
        return bus

    def outside(self, name: str) -> Outside:
        return self.outsides.setdefault(name, Outside())

    def close(self) -> None:
        for bus in self._open:
            bus.close()
        gc.collect()  # expressions of this bus must not be dropped by a thread of the next

    @property
    def has_bus(self) -> bool:
        return bool(self._open)

    @property
    def last(self) -> Bus:
        return self._open[-1]

    # --- what is in the store ---------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        with self.last.store.reading() as t:
            return t.tracking.ledger()

    def parked(self) -> list[Parked]:
        """Whatever waits for a person."""
        with self.last.store.reading() as t:
            return t.parked.list()

    def hop(self, id: str, place: str) -> Hop | None:
        with self.last.store.reading() as t:
            return t.tracking.get(id, place)

    def retry(self) -> None:
        """A person sends on all that is parked, and the outbox is relayed."""
        with self.last.store.transaction() as t:
            t.parked.retry([row.key for row in t.parked.list()], who="operator")
        sweep(self.last)

    def parked_state(self, row: Parked) -> str:
        with self.last.store.reading() as t:
            found = t.parked.get(*row.key)
        assert found is not None
        return found.status

    def left(self, queue: str) -> int:
        """Messages that wait in a queue, are taken from it, or are delayed."""
        depths = self.last.broker.depths([queue])
        return depths[queue].ready + max(depths[queue].unsettled, 0) + depths["delayed"].ready

    def depth(self, queue: str) -> int:
        """Messages that wait in a queue."""
        return self.last.broker.depths([queue])[queue].ready


def order(number: int, **more: Any) -> Message:
    """An order as a message."""
    body = json.dumps({"number": number, "key": f"no-{number}", **more}).encode()
    return create(body, type="order", version=1, source="test", id=f"order-{number}", subject=f"no-{number}", time=1e9)


def send(bus: Bus, *messages: Message, operation: str = "put", **properties: str) -> None:
    """Put commands into the queue of the endpoint ``target``."""
    batch = [Outgoing(m, endpoint_queue("target"), properties={"operation": operation, **properties}) for m in messages]
    _publish(bus, batch)


def feed(bus: Bus, *messages: Message, flow: str = "main", **properties: str) -> None:
    """Put messages into a flow's queue."""
    _publish(bus, [Outgoing(m, flow_queue(flow), properties=properties) for m in messages])


def put(bus: Bus, queue: str, *messages: Message, **properties: str) -> None:
    """Put messages into any queue."""
    _publish(bus, [Outgoing(m, queue, properties=properties) for m in messages])


def _publish(bus: Bus, batch: Sequence[Outgoing]) -> None:
    publisher = bus.broker.publisher("test")
    publisher.publish(batch)
    publisher.close()


def endpoint_worker(bus: Bus, name: str = "target") -> EndpointWorker:
    return EndpointWorker(bus.context, bus.definition.endpoints[name])


def flow_worker(bus: Bus) -> FlowWorker:
    return FlowWorker(bus.context)


def inbound_worker(bus: Bus) -> InboundWorker:
    return InboundWorker(bus.context, bus.intakes())


def poller(bus: Bus) -> Poller:
    return Poller(bus.context, bus.definition.endpoints["source"], bus.intakes()["source"])


def upkeep(bus: Bus, point: Callable[[str], None] = pass_by) -> Upkeep:
    """What the jobs of a bus work with."""
    return make_upkeep(bus.definition, COMPONENTS, bus.broker, bus.store, bus.context.clock, point)[0]


def sweep(bus: Bus) -> None:
    """Due timers fire, and the sweeper goes round once."""
    fire_due(upkeep(bus))
    sweeper = Sweeper(bus.context)
    sweeper.stopping.set()  # so that it does not rest behind its round
    sweeper.cycle()
    sweeper.finish()


def until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for something that other threads bring about."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.005)


def drive(worker: Worker, condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Rounds of a worker, as its thread would run them but without pauses, until something is true."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        try:
            worker.cycle()
        except Exception as error:
            worker._explain(error)
            worker._quietly(worker.recover)


def dies(worker: Worker, rounds: int = 20) -> None:
    """Rounds until the process ends at its point; what it held comes back, as after any death."""
    try:
        for _ in range(rounds):
            worker.cycle()
    except Dies:
        consumer = getattr(worker, "_consumer", None)
        if consumer is not None:
            consumer.close()
        return
    raise AssertionError("the worker never came by the point")


@contextmanager
def store_down(bus: Bus, failures: int = 10**9) -> Iterator[list[int]]:
    """The store cannot be written; gives the number of tries so far."""
    tries, real = [0], bus.store.transaction

    @contextmanager
    def transaction() -> Iterator[Any]:
        tries[0] += 1
        if tries[0] <= failures:
            raise StoreDown("the store is down, says the test")
        with real() as t:
            yield t

    bus.store.transaction = transaction  # type: ignore[method-assign]
    try:
        yield tries
    finally:
        bus.store.transaction = real  # type: ignore[method-assign]


def broken_transfer(worker: Any, when: Callable[[Sequence[Outgoing]], bool] = lambda batch: True) -> None:
    """The next transfer (of a batch that ``when`` picks) finds no broker: nothing of it happens."""
    consumer = worker._consumer
    real = consumer.begin

    def begin(batch: Sequence[Outgoing]) -> Transfer:
        if when(batch):
            consumer.begin = real
            raise BrokerDown("the broker is gone, says the test")
        return real(batch)

    consumer.begin = begin
