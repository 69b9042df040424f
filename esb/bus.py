"""The composition root: from a loaded definition to a running bus. Everything is wired here, and only here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog

from esb.broker import open_broker
from esb.broker.port import Broker
from esb.cases.export import Exported, export
from esb.cases.run import run_cases
from esb.config import Components, Definition, load_stored
from esb.config.definition import LoadedEndpoint
from esb.config.hidden import masks_of
from esb.discovery import make_adapter, make_format
from esb.errors import EndpointError, EsbError
from esb.flow import STEPS, Parts, build_parts
from esb.masking import first_masked
from esb.store import Parked, Store, Transaction, new_owner, open_store
from esb.store.links import link_path, make_first_link
from esb.wake import Stop
from esb.worker.context import Context
from esb.worker.endpoint import EndpointWorker
from esb.worker.flow import FlowWorker
from esb.worker.inbound import InboundWorker
from esb.worker.intake import Intake
from esb.worker.life import Collector, persist, quieten_collector, return_memory, shut_down
from esb.worker.noticeboard import Noticeboard
from esb.worker.ordered import OrderedWorker
from esb.worker.points import pass_by
from esb.worker.poller import Poller
from esb.worker.pressure import Pressure
from esb.worker.saga import SagaWorker, saga_names
from esb.worker.share import Share
from esb.worker.sweeper import Heartbeat, Sweeper
from esb.worker.thread import Worker
from esb.worker.topology import bindings_of, topology
from esb.worker.upkeep import Upkeep
from esb.worker.versions import Versions

# The web server, the framework of the admin interface and Celery are imported where the role asks for them that has
# them: the other roles, of which each is a process, have neither the time nor the memory to spare.
if TYPE_CHECKING:
    from esb.gateway.app import Served
    from esb.gateway.room import Room
    from esb.gateway.serve import Site
    from esb.worker.ingress import Ingress

log = structlog.get_logger("esb.bus")

LARGEST_FORM = 4 * 1024**2  # bytes; a document to try a mapping with
UNKICKED = 60.0  # seconds between looks of the jobs role at the outbox; the bus role looks every second
Opened = TypeVar("Opened", Broker, Store)


class Bus:
    """One process's view of the bus: definition, compiled flows, broker, store, adapters. Workers are made from it."""

    def __init__(
        self,
        definition: Definition,
        components: Components,
        *,
        broker: Broker | None = None,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        point: Callable[[str], None] = pass_by,
        share: Share = Share(),  # noqa: B008 - it cannot be changed
    ) -> None:
        """Broker and store default to those of the configuration; tests pass their own. ``share``: which of several
        bus processes of this machine it is."""
        self._close = ExitStack()
        self.definition = definition
        self.components = components
        self.share = share
        self.broker = broker or self._closing(open_broker(definition.config.broker, definition.data_directory))
        self.store = store or self._closing(store_of(definition))
        self.parts: Parts = build_parts(definition)
        self.adapters = {name: make_adapter(name, definition, components) for name in definition.endpoints}
        self.formats = {name: make_format(name, definition, components) for name in definition.endpoints}
        for adapter in self.adapters.values():
            self._close.callback(adapter.close)
        self.context = Context(
            definition=definition,
            flows=self.parts.flows,
            versions=Versions(definition, self.parts, components),
            contracts=self.parts.contracts,
            masks=self.parts.masks,
            adapters=self.adapters,
            formats=self.formats,
            broker=self.broker,
            store=self.store,
            owner=new_owner(),
            clock=clock,
            board=Noticeboard(self.store, clock),
            point=point,
            pressure=Pressure(definition, self.broker).trouble,
            older=lambda hash: self._older(hash, components),
        )

    def _older(self, hash: str, components: Components) -> Definition | None:
        """A definition that was in force when a message set out, if the store still has it."""
        with self.store.reading() as t:
            stored = t.definitions.get(hash)
        return load_stored(Path(self.definition.root), stored.files, components) if stored else None

    def prepare(self) -> None:
        """Make what must exist: see :func:`prepare`."""
        prepare(self.definition, self.store, self.broker)

    def open_adapters(self) -> None:
        """Get every adapter ready. One whose outside is not there says so, and is tried again when it is needed."""
        for name, adapter in self.adapters.items():
            try:
                adapter.open()
            except EndpointError as error:
                log.warning("endpoint is not there yet", endpoint=name, kind=error.kind, error=str(error))

    def intakes(self) -> dict[str, Intake]:
        """The way in of each endpoint that receives."""
        receiving = {name: e for name, e in self.definition.endpoints.items() if e.receive is not None}
        return {
            name: Intake(endpoint, self.formats[name], self.parts.contracts.get(endpoint.receive.common.contract or ""))
            for name, endpoint in receiving.items()
            if endpoint.receive is not None
        }

    def workers(self) -> list[Worker]:
        """Everything the bus role runs, in the order in which it should start."""
        context, intakes = self.context, self.intakes()
        workers: list[Worker] = [Heartbeat(context), Sweeper(context)]
        workers += [EndpointWorker(context, endpoint) for endpoint in self.served()]
        ordered = {bool(flow.ordering) for flow in self.definition.flows.values()}
        workers += [FlowWorker(context)] if False in ordered else []
        workers += [OrderedWorker(context)] if True in ordered else []
        sagas = saga_names(context)
        if sagas:
            workers.append(SagaWorker(context, sagas))
        if intakes:
            workers.append(InboundWorker(context, intakes))
        polling = (name for name in intakes if self.adapters[name].features.polls)
        return workers + [Poller(context, self.definition.endpoints[name], intakes[name]) for name in polling]

    def served(self) -> list[LoadedEndpoint]:
        """The endpoints that this process sends to, each with the concurrency that falls to it."""
        sending = (endpoint for endpoint in self.definition.endpoints.values() if endpoint.operations)
        shares = [(endpoint, self.share.of(endpoint.name, endpoint.concurrency)) for endpoint in sending]
        return [self._shared(endpoint, share) for endpoint, share in shares if share]

    def _shared(self, endpoint: LoadedEndpoint, concurrency: int) -> LoadedEndpoint:
        """With its part of what all processes of the machine have together."""
        budget = endpoint.recovery.budget
        least = self.share.of(f"{endpoint.name} retries", budget.least)
        recovery = endpoint.recovery.model_copy(update={"budget": budget.model_copy(update={"least": least})})
        return msgspec.structs.replace(endpoint, concurrency=concurrency, recovery=recovery)

    def serving(self) -> list[Served]:
        """Endpoints that take HTTP requests."""
        from esb.gateway.app import Served

        names = (name for name in self.intakes() if self.adapters[name].features.serves)
        return [Served(name, self.adapters[name], self.formats[name].content_type) for name in names]

    def ingress(self) -> Ingress:
        """The way in of the web role."""
        from esb.worker.ingress import Ingress

        return Ingress(self.context, self.intakes())

    def web(self, ingress: Ingress, room: Room | None = None) -> Any:
        """The ASGI application of the ingress. ``room`` as it has it."""
        from esb.gateway.app import build

        limit = self.definition.config.http.max_body
        return build(self.serving(), ingress.enter, max_body=limit, ready=self.trouble, room=room)

    def admin(self) -> Any:
        """The admin interface, as a WSGI application."""
        from esb.admin.app import create_app
        from esb.admin.services import Services

        cases = partial(run_cases, self.definition, self.parts)

        def exported(t: Transaction, parked: Parked) -> Exported:
            return export(t, self.definition, self.parts, parked)

        return create_app(Services(self.context, self.parts, self.components, cases, exported), LARGEST_FORM)

    def sites(self, ingress: Ingress) -> list[Site]:
        """What the web role serves: the admin interface, and the ingress where an endpoint is called from outside."""
        from esb.gateway.room import Room
        from esb.gateway.serve import Site
        from esb.gateway.wsgi import Bridge

        config = self.definition.config
        room = Room(max(config.http.max_body, LARGEST_FORM))
        sites = []
        if self.serving() or not config.admin.enabled:
            sites.append(Site(self.web(ingress, room), config.http, "http"))
        if config.admin.enabled:
            sites.append(Site(Bridge(self.admin(), LARGEST_FORM, room), config.admin, "admin"))
        return sites

    def first_link(self, urls: Mapping[str, str]) -> dict[str, str]:
        """The link that makes the first admin, under ``first``; nothing when somebody can sign in already."""
        if "admin" not in urls:
            return {}
        with self.store.transaction() as t:
            token = make_first_link(t, self.context.clock())
        origin = self.definition.config.admin.url or urls["admin"]
        return {"first": origin + link_path(token)} if token else {}

    def trouble(self) -> str:
        """Why no message would be taken now, or nothing."""
        try:
            self.broker.check()
            self.store.check()
        except EsbError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Let everything go that was opened here."""
        self._close.close()

    def _closing(self, thing: Opened) -> Opened:
        self._close.callback(thing.close)
        return thing


def run(bus: Bus, stopped: Stop, ready: Callable[[], None]) -> None:
    """The bus role: wait for broker and store, start all workers, wait until told to stop, drain.

    Raises what no waiting mends: a login that is refused, tables that are missing.
    """
    if not persist(bus.prepare, stopped):
        return
    bus.open_adapters()
    quieten_collector()
    return_memory()
    workers = [*bus.workers(), Collector()]
    heartbeat = workers[0]
    assert isinstance(heartbeat, Heartbeat)
    # Before anything is taken: whoever finds our traces must find us alive.
    if not persist(heartbeat.beat, stopped):
        return
    for worker in workers:
        worker.start()
    ready()
    stopped.wait()
    shut_down(workers[1:], bus.definition.config.worker.drain)
    shut_down([heartbeat], bus.definition.config.worker.drain)


def run_web(bus: Bus, stopped: Stop, ready: Callable[[dict[str, str]], None]) -> None:
    """The web role: wait for broker and store, serve until told to stop, answer what was let in.

    ``ready`` is called with the addresses: ``http`` and ``admin``, as far as they are served. Raises as :func:`run`,
    and ``EsbError`` when a port cannot be had.
    """
    from esb.gateway.serve import serve

    if not persist(bus.prepare, stopped):
        return
    ingress, heartbeat = bus.ingress(), Heartbeat(bus.context, "web")
    sites = bus.sites(ingress)
    names = [site.setting for site in sites]
    ingress.start()
    heartbeat.start()
    try:
        serve(sites, lambda urls: ready(dict(zip(names, urls, strict=True))), stopped)
    finally:
        shut_down([ingress, heartbeat], bus.definition.config.worker.drain)


def run_jobs(
    definition: Definition,
    components: Components,
    stopped: Stop,
    ready: Callable[[], None],
    point: Callable[[str], None] = pass_by,
) -> None:
    """The jobs role: wait for broker and store, then do what is due until told to stop. Needs no compiled flow."""
    from esb.jobs import role

    with ExitStack() as closing:
        broker, store = open_doors(definition, closing)
        if not persist(lambda: prepare(definition, store, broker), stopped):
            return
        upkeep, sweeper = make_upkeep(definition, components, broker, store, point=point)
        role.run(upkeep, sweeper, definition.data_directory, stopped, ready)


def make_upkeep(
    definition: Definition,
    components: Components,
    broker: Broker,
    store: Store,
    clock: Callable[[], float] = time.time,
    point: Callable[[str], None] = pass_by,
) -> tuple[Upkeep, Sweeper]:
    """What scheduled and slow work needs, and the sweeper that relays at once what it commits."""
    upkeep = Upkeep(
        definition=definition,
        store=store,
        broker=broker,
        masks=masks_of(definition, STEPS),
        adapter=lambda name: make_adapter(name, definition, components),
        owner=new_owner(),
        clock=clock,
        committed=lambda: sweeper.kick(),  # noqa: PLW0108 - it is made below
        point=point,
    )
    sweeper = Sweeper(upkeep, UNKICKED)
    return upkeep, sweeper


def prepare(definition: Definition, store: Store, broker: Broker) -> None:
    """Make what must exist: the tables of an embedded store, queues and bindings; activate the definition."""
    if store.embedded:
        store.migrate()
    else:
        store.require_current()
    with store.reading() as t:
        previous, sagas = t.definitions.active(), t.sagas.open_names()
    # Declared before it is active: whoever dies in between still finds what the last one had bound.
    broker.declare(topology(definition, bindings_of(previous.files) if previous else (), sagas))
    if hazard := broker.hazard():
        log.warning("the broker may lose messages", reason=hazard)
    with store.transaction() as t:
        t.definitions.activate(definition.hash, definition.files)


def open_doors(definition: Definition, closing: ExitStack) -> tuple[Broker, Store]:
    """Broker and store of the configuration; both are closed with ``closing``."""
    broker = open_broker(definition.config.broker, definition.data_directory)
    closing.callback(broker.close)
    store = store_of(definition)
    closing.callback(store.close)
    return broker, store


def store_of(definition: Definition) -> Store:
    """The store of a configuration. Where a contract masks fields, it encrypts what it keeps of them."""
    config = definition.config
    seals = bool(first_masked(definition.contracts))
    return open_store(config.database, definition.data_directory, config.encryption.texts(), seals=seals)
