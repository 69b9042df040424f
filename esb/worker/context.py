"""What every worker is given: the compiled bus and its doors to broker and store. Made by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from esb.broker.port import Broker, saga_queue
from esb.config.definition import Definition
from esb.contract import Contract
from esb.flow import Flow
from esb.masking import Masks
from esb.ports import Adapter, Format
from esb.store import Store
from esb.worker.noticeboard import Noticeboard
from esb.worker.points import pass_by
from esb.worker.pool import Pool, Threads
from esb.worker.queues import queue_of
from esb.worker.rows import Journal
from esb.worker.solitude import Solitude
from esb.worker.versions import Versions


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled bus of one process.

    ``owner`` names this process in leases and inbox rows. ``point`` is called with a name at each place where a
    crash is interesting; the fault tests pass a function that kills the process there. ``solitude`` is claimed
    by whoever runs a message that has been under way at two deaths. ``pool`` makes the threads on which an endpoint's
    messages are sent; ``jitter`` are the seconds, at most, between immediate retries, so that many failures do not
    strike as one.
    """

    definition: Definition
    flows: Mapping[str, Flow]
    versions: Versions  # of sagas
    contracts: Mapping[str, Contract]
    masks: Masks
    adapters: Mapping[str, Adapter]  # by endpoint
    formats: Mapping[str, Format]  # by endpoint
    broker: Broker
    store: Store
    owner: str
    clock: Callable[[], float]
    board: Noticeboard
    point: Callable[[str], None] = pass_by
    pressure: Callable[[str], str] = lambda endpoint: ""  # why nothing more may come in through an endpoint, or nothing
    older: Callable[[str], Definition | None] = lambda hash: None  # one that was in force before, by its hash
    pool: Callable[[int, str], Threads] = Pool
    jitter: float = 0.2
    solitude: Solitude = msgspec.field(default_factory=Solitude)

    def journal(self, journey: str = "") -> Journal:
        """What writes down hops and parked messages: as much as ``journey:`` says, unless told otherwise."""
        definition = self.definition
        return Journal(journey or definition.config.journey, definition.hash, self.masks, definition.secrets)

    def queues_from(self, endpoint: str) -> tuple[str, ...]:
        """Queues of the flows and sagas that start at an endpoint, sorted."""
        flows = sorted(queue_of(f) for f in self.definition.flows.values() if f.source == endpoint)
        sagas = sorted(s.name for s in self.definition.sagas.values() if s.source == endpoint)
        return *flows, *map(saga_queue, sagas)
