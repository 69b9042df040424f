"""What scheduled and slow work is given: doors to store and endpoints, and who it is; made by the composition root."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from esb.broker.port import Broker
from esb.config.definition import Definition
from esb.masking import Masks
from esb.ports import Adapter
from esb.store import Store
from esb.worker.points import pass_by
from esb.worker.rows import Journal


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """One process that does upkeep.

    ``adapter`` gives an endpoint's, not opened. ``committed`` is called when something lies in the outbox, so that it
    goes out at once. ``owner`` and ``point`` are as in
    :class:`~esb.worker.context.Context`.
    """

    definition: Definition
    store: Store
    broker: Broker
    masks: Masks
    adapter: Callable[[str], Adapter]
    owner: str
    clock: Callable[[], float]
    committed: Callable[[], None]
    point: Callable[[str], None] = pass_by

    def journal(self, journey: str = "") -> Journal:
        """What writes down hops: as much as ``journey:`` says, unless told otherwise."""
        definition = self.definition
        return Journal(journey or definition.config.journey, definition.hash, self.masks, definition.secrets)
