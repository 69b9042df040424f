"""What the pages work with. Made by the composition root; a test makes its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from esb.broker.port import Broker
from esb.config import Components, Definition
from esb.config.models import Admin
from esb.flow import Parts
from esb.ports import Adapter
from esb.store import Parked, Store, Transaction
from esb.worker.context import Context


class Services(msgspec.Struct, frozen=True):
    """The compiled bus of the web role. ``context`` is what acts that the workers share ask for."""

    context: Context
    parts: Parts
    components: Components
    cases: Callable[[str], Iterable[Any]]  # runs the test cases whose place and name have a text in it
    export: Callable[[Transaction, Parked], Any]  # a parked message as a test case, with ``file`` and ``text``

    @property
    def definition(self) -> Definition:
        """The bus directory, loaded."""
        return self.context.definition

    @property
    def settings(self) -> Admin:
        """``admin:`` of esb.yaml."""
        return self.context.definition.config.admin

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def broker(self) -> Broker:
        return self.context.broker

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """By endpoint; not opened."""
        return self.context.adapters

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch."""
        return self.context.clock
