"""What a case led to: what went out, what became of it, what waits for a person; read when nothing more happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from esb.broker.port import REPLY_TO, Outgoing
from esb.cases.outside import Outside
from esb.cases.traffic import Passed
from esb.flow import StepTrace
from esb.message import Message
from esb.saga import Saga
from esb.store import Hop, Parked, Status, Store
from esb.worker.rows import ATTEMPT
from esb.worker.saga_round import saga_of

_STEPS = msgspec.msgpack.Decoder(list[StepTrace])
_ENDPOINT = "esb.endpoint."
MOST = 10_000  # rows of one kind
_SET_ASIDE = (Status.PARKED, Status.IN_DOUBT)


class Sent(msgspec.Struct, frozen=True):
    """A command to an endpoint. ``at``: seconds since the case began; ``status`` is that of its journey, or ""."""

    to: str  # endpoint.operation
    message: Message
    at: float
    call: bool
    attempts: int
    status: str


class Told(msgspec.Struct, frozen=True):
    """An event. ``at`` as in :class:`Sent`."""

    event: str
    message: Message
    at: float


class Played(msgspec.Struct, frozen=True):
    """All of one case. ``arrived`` are the ids of what was given, in order."""

    arrived: Sequence[str]
    sends: Sequence[Sent]
    calls: Sequence[Sent]
    events: Sequence[Told]
    hops: Sequence[Hop]
    parked: Sequence[Parked]
    sagas: Sequence[Saga]

    @classmethod
    def read(
        cls, store: Store, passed: Sequence[Passed], outside: Outside, arrived: Sequence[str], began: float, sagas: bool
    ) -> Played:
        """From what passed the broker, and what the store knows; ``sagas``: whether there are any."""
        with store.reading() as t:
            hops = t.tracking.all(MOST)
            parked = list(t.parked.list(limit=MOST)) if any(hop.status in _SET_ASIDE for hop in hops) else []
            held = [t.sagas.get(row.id) for row in reversed(t.sagas.search(limit=MOST))] if sagas else []
        ends = {(hop.message_id, hop.place): hop.status.label for hop in hops}
        commands = list(_commands(passed, outside, ends, began))
        events = [
            Told(p.outgoing.message.contract, p.outgoing.message, p.at - began) for p in passed if p.outgoing.event
        ]
        return cls(
            arrived=arrived,
            sends=[command for command in commands if not command.call],
            calls=[command for command in commands if command.call],
            events=events,
            hops=hops,
            parked=sorted(parked, key=_order(hops, arrived)),
            sagas=[saga_of(row) for row in held if row],
        )

    @property
    def roots(self) -> list[str]:
        """Ids of what was given, or of what was found in it."""
        entered = sorted((h for h in self.hops if h.place.startswith("in:")), key=lambda h: h.received_at)
        return [*dict.fromkeys((*self.arrived, *(hop.message_id for hop in entered)))]


def _events(passed: Sequence[Passed]) -> Iterator[tuple[Outgoing, float]]:
    return ((one.outgoing, one.at) for one in passed if one.outgoing.event)


def _commands(
    passed: Sequence[Passed], outside: Outside, status: dict[tuple[str, str], str], began: float
) -> Iterator[Sent]:
    for one in passed:
        outgoing = one.outgoing
        if not outgoing.to.startswith(_ENDPOINT) or ATTEMPT in outgoing.properties or outgoing.delay:
            continue  # no command, or one that is tried again
        endpoint, message = outgoing.to.removeprefix(_ENDPOINT), outgoing.message
        name = f"{endpoint}.{outgoing.properties.get('operation', '')}"
        yield Sent(
            to=name,
            message=message,
            at=one.at - began,
            call=REPLY_TO in outgoing.properties,
            attempts=outside.attempts[(name, message.id)],
            status=status.get((message.id, f"out:{endpoint}"), ""),
        )


def _order(hops: Sequence[Hop], arrived: Sequence[str]) -> Callable[[Parked], Any]:
    """Parts of a split stand in their order, which their ids do not tell."""
    order = {id: n for n, id in enumerate(arrived)}
    for hop in hops:
        for step in _STEPS.decode(hop.steps) if hop.steps else ():
            for child in step.children:
                order.setdefault(child, len(order))
    return lambda parked: (parked.parked_at, order.get(parked.message.id, len(order)))
