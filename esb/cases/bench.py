"""The bus on a bench: the real workers on a broker and a store of their own, the outside stated, time moved by hand.

One flow or saga of a definition is mounted (and others that a case asks for); whoever else wants an event does not hear
of it. Everything runs on one thread, in the order in which messages were published, so a case gives the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from esb.broker.port import Outgoing, endpoint_queue, event_key, flow_queue, inbound_queue, resume_queue, saga_queue
from esb.cases.outside import Outside, Stub
from esb.cases.played import Played
from esb.cases.traffic import Traffic
from esb.config import Components
from esb.config.definition import Definition, LoadedEndpoint
from esb.flow import STEPS, Flow, Parts
from esb.formats import FORMATS
from esb.message import Message
from esb.ports import Reply, Request
from esb.saga import SagaDefinition
from esb.store import SwitchKind
from esb.store.memory import MemoryStore
from esb.worker.context import Context
from esb.worker.endpoint import EndpointWorker
from esb.worker.flow import FlowWorker
from esb.worker.inbound import InboundWorker
from esb.worker.intake import Intake
from esb.worker.noticeboard import Noticeboard
from esb.worker.purge import PIECE, Channel, Reason, set_aside
from esb.worker.saga import SagaWorker
from esb.worker.sweeper import Sweeper
from esb.worker.thread import Worker
from esb.worker.timers import fire_due, next_due
from esb.worker.topology import topology
from esb.worker.upkeep import Upkeep
from esb.worker.versions import Versions

MOST = 10_000  # rounds of workers in one case: one that goes on and on is cut off there
NEVER_OPENS = 10**9  # failures: what opens a breaker is the traffic of a day, not of a case


class Endless(Exception):  # noqa: N818 - says what a case does
    """A case goes on and on."""


class Bench:
    """Some flows and sagas of a definition, ready to run cases. For one thread."""

    def __init__(
        self,
        definition: Definition,
        parts: Parts,
        traffic: Traffic,
        store: MemoryStore,
        flows: Mapping[str, Flow],
        sagas: Iterable[str] = (),
    ) -> None:
        """Args: what is loaded, the same compiled, the doors, and what is mounted (flows as they shall run)."""
        mounted = _mounted(definition, flows, sagas)
        self.definition = mounted
        self.store = store
        self.traffic = traffic
        self._outside = Outside({})
        self._context = self._made(mounted, parts, flows)
        self._upkeep = self._jobs(parts)
        self._sweeper = Sweeper(self._context)
        self._sweeper.stopping.set()  # it does not rest behind its rounds
        self._workers: dict[str, Worker] = {}
        traffic.declare(topology(mounted))

    def saga(self, name: str) -> SagaDefinition:
        """One that is mounted, compiled."""
        return self._context.versions.sagas[name]

    # --- one case ---------------------------------------------------------------------------------------------------

    def begin(self, outside: Outside, now: float) -> None:
        """A new case: nothing has happened yet, and it is ``now`` (epoch seconds)."""
        self._workers.clear()
        self.traffic.reset()
        self.store.clear()
        self.traffic.clock.now = now
        self.traffic.silent = outside.silent
        self._outside = outside

    def put(self, outgoing: Sequence[Outgoing]) -> None:
        """Something arrives."""
        self.traffic.put(outgoing, record=False)

    def switch(self, kind: SwitchKind, name: str, rows: Mapping[str, str]) -> None:
        """Somebody sets something, and it holds from this moment."""
        with self.store.transaction() as t:
            t.switches.set(kind, name, rows, "test")
        self._workers.clear()  # those that come see it at once

    def purge(self, flow: str, why: str) -> None:
        """Somebody takes away what waits for a flow."""
        channel = Channel.of_flow(flow)
        together = self._together(flow_queue(flow))
        found = self.traffic.depths(together)
        # Of the flow's own worker, so that no other consumer waits at its queues afterwards.
        consumer = self.traffic.consumer([queue for queue in together if queue in found], PIECE)
        deliveries = consumer.take(PIECE, 0.0)
        journal, now = self._context.journal(), self.traffic.clock.now
        set_aside(self.store, deliveries, journal, channel, Reason("test", why), now)
        consumer.settle(deliveries)

    def into(self, source: str, message: Message) -> list[Outgoing]:
        """A message on its way to all that starts where it comes from: an endpoint, an event, or a schedule."""
        if "/" in source:
            return [Outgoing(message, event_key(message.type, message.version), event=True)]
        flows = [flow_queue(flow.name) for flow in self.definition.flows.values() if flow.source == source]
        return [Outgoing(message, q) for q in (*flows, *self._sagas_from(source))]

    def raw(self, endpoint: str, message: Message) -> list[Outgoing]:
        """Bytes on their way in through an endpoint."""
        return [Outgoing(message, inbound_queue(endpoint))]

    def settle(self) -> None:
        """Let everything happen that happens at this moment."""
        rounds = 0
        while queue := self._next():
            worker = self._worker(queue)
            worker.cycle()
            while self._busy(queue):
                worker.cycle()
                rounds += 1
                self._limit(rounds)
            rounds += 1
            self._limit(rounds)

    def wait(self, until: float | None = None) -> None:
        """Let the time pass, to a moment, or until nothing is left that happens by itself."""
        self.settle()
        for _ in range(MOST):
            due = self._due()
            if due is None or (until is not None and due > until):
                break
            self.traffic.clock.now = max(self.traffic.clock.now, due)
            self.traffic.promote()
            fire_due(self._upkeep)
            self.settle()
        else:
            raise Endless(f"it goes on and on: after {MOST} timers there was still one")
        if until is not None:
            self.traffic.clock.now = max(self.traffic.clock.now, until)

    def played(self, arrived: Sequence[str], began: float) -> Played:
        """What came of it. ``arrived`` are the ids of what was given."""
        sagas = bool(self.definition.sagas)
        return Played.read(self.store, self.traffic.passed, self._outside, arrived, began, sagas)

    # --- rounds -----------------------------------------------------------------------------------------------------

    def _next(self) -> str | None:
        """The queue in which something has waited longest; what was committed and not published counts, too."""
        if not self.traffic.ready:
            with self.store.reading() as t:
                left = t.outbox.count()
            if left:
                self._sweeper.cycle()
        return next(iter(self.traffic.ready), None)

    def _busy(self, queue: str) -> bool:
        """Whether its worker has something in hand, or there is more."""
        return any(self.traffic.open[name] for name in self._together(queue))

    def _due(self) -> float | None:
        with self.store.reading() as t:
            timer = next_due(t)
        found = [due for due in (timer, self.traffic.next_due()) if due is not None]
        return min(found, default=None)

    def _limit(self, rounds: int) -> None:
        if rounds > MOST:
            raise Endless(f"it goes on and on: {MOST} rounds of its workers at one and the same moment")

    # --- workers ----------------------------------------------------------------------------------------------------

    def _worker(self, queue: str) -> Worker:
        """The one that serves a queue, made when something lies there first."""
        if queue not in self._workers:
            worker = self._serving(queue)
            self._workers |= dict.fromkeys(self._together(queue), worker)
        return self._workers[queue]

    def _together(self, queue: str) -> tuple[str, ...]:
        """The queues that one worker serves with this one."""
        return next((names for names in self._groups() if queue in names), (queue,))

    def _groups(self) -> Iterator[tuple[str, ...]]:
        names = self.definition.flows
        yield *map(flow_queue, names), *map(resume_queue, names)
        yield tuple(map(saga_queue, self.definition.sagas))
        yield tuple(inbound_queue(name) for name, e in self.definition.endpoints.items() if e.receive)

    def _serving(self, queue: str) -> Worker:
        self._context.board.stale()  # what a case has set holds from that moment
        endpoint = next((e for name, e in self.definition.endpoints.items() if queue == endpoint_queue(name)), None)
        if endpoint is not None:
            return EndpointWorker(self._context, endpoint)
        flows, sagas, _ = self._groups()
        if queue in flows:
            return FlowWorker(self._context)
        if queue in sagas:
            return SagaWorker(self._context, list(self.definition.sagas))
        return InboundWorker(self._context, self._intakes())

    def _intakes(self) -> dict[str, Intake]:
        contracts, formats = self._context.contracts, self._context.formats
        found = ((name, e) for name, e in self.definition.endpoints.items() if e.receive)
        return {
            n: Intake(e, formats[n], contracts.get((e.receive and e.receive.common.contract) or "")) for n, e in found
        }

    def _sagas_from(self, source: str) -> list[str]:
        return [saga_queue(saga.name) for saga in self.definition.sagas.values() if saga.source == source]

    # --- wiring -----------------------------------------------------------------------------------------------------

    def _made(self, definition: Definition, parts: Parts, flows: Mapping[str, Flow]) -> Context:
        endpoints = definition.endpoints
        components = Components(adapters={}, formats=FORMATS, steps=STEPS)
        return Context(
            definition=definition,
            flows=flows,
            versions=Versions(definition, parts, components),
            contracts=parts.contracts,
            masks=parts.masks,
            adapters={name: Stub(name, self._answer) for name in endpoints},
            formats={name: FORMATS[e.format](e.format_settings) for name, e in endpoints.items()},
            broker=self.traffic,
            store=self.store,
            owner="cases",
            clock=self.traffic.clock,
            board=Noticeboard(self.store, self.traffic.clock),
            pool=AtOnce,
            jitter=0.0,
        )

    def _jobs(self, parts: Parts) -> Upkeep:
        context = self._context
        return Upkeep(
            definition=self.definition,
            store=self.store,
            broker=self.traffic,
            masks=parts.masks,
            adapter=lambda name: context.adapters[name],
            owner="cases",
            clock=self.traffic.clock,
            committed=lambda: None,
        )

    def _answer(self, endpoint: str, request: Request) -> Reply:
        return self._outside.answer(endpoint, request)


class AtOnce:
    """The threads of an endpoint, where there are none: what is submitted is done when ``submit`` returns."""

    def __init__(self, size: int, name: str) -> None:
        """See :class:`esb.worker.pool.Pool`."""

    def submit(self, work: Callable[[], None]) -> None:
        """Do it."""
        work()

    def close(self) -> None:
        """Nothing to end."""


def _mounted(definition: Definition, flows: Iterable[str], sagas: Iterable[str]) -> Definition:
    """What a case runs of a definition."""
    return msgspec.structs.replace(
        definition,
        # One message is under way at a time, so nothing passes anything.
        flows={name: msgspec.structs.replace(definition.flows[name], ordering="") for name in flows},
        sagas={name: definition.sagas[name] for name in sagas},
        endpoints={name: _patient(endpoint) for name, endpoint in definition.endpoints.items()},
    )


def _patient(endpoint: LoadedEndpoint) -> LoadedEndpoint:
    recovery: Any = endpoint.recovery
    breaker = recovery.breaker.model_copy(update={"failures": NEVER_OPENS})
    return msgspec.structs.replace(endpoint, recovery=recovery.model_copy(update={"breaker": breaker}))
