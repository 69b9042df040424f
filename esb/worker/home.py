"""What is needed of any process of the bus: the bus role's context, or the upkeep of the jobs role."""

from __future__ import annotations

from typing import Protocol

from esb.broker.port import Broker
from esb.config.definition import Definition
from esb.store import Store
from esb.worker.rows import Journal


class Home(Protocol):
    """The doors to broker and store, and who this is. ``owner`` names the process in leases."""

    @property
    def definition(self) -> Definition: ...

    @property
    def store(self) -> Store: ...

    @property
    def broker(self) -> Broker: ...

    @property
    def owner(self) -> str: ...

    def clock(self) -> float:
        """Seconds since the epoch."""
        ...

    def journal(self, journey: str = "") -> Journal:
        """What writes down hops and parked messages."""
        ...
