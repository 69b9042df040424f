"""What a flow answers: plain records for others to act on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from esb.errors import MessageError
from esb.message import Message

if TYPE_CHECKING:
    from esb.flow.groups import Hold
    from esb.flow.legs import Continuation

PART = "esb-part"  # property of a parked part: the split step in whose body it goes on


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """A command to an endpoint. ``tap``: a copy on the side, from a wiretap."""

    message: Message
    endpoint: str
    operation: str
    step: str
    tap: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A command whose answer somebody waits for: ``owner``, this run's message or a part of it.

    The continuation goes along with it and comes back with the answer. ``timeout``: seconds, or None for as long as
    the endpoint tries.
    """

    message: Message
    endpoint: str
    operation: str
    step: str
    owner: Message
    continuation: Continuation
    timeout: float | None = None


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """Goes with a message that is let go in order: at the end of its way it says that the next one may follow."""

    step: str
    key: str
    number: int


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ``$error`` tells: the stable word, a text for people, the step, and for a call endpoint.operation."""

    kind: str
    text: str
    step: str = ""
    endpoint: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event for whoever wants it."""

    message: Message
    step: str


ControlKind = Literal["endpoint", "flow", "detour", "throttle", "table"]


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people can set, set by a message: see :class:`esb.store.Switch`. ``value`` None: taken back."""

    kind: ControlKind
    name: str
    key: str
    value: str | None
    why: str


class StepTrace(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one step did, for the journey: outcome words and the ids of what came of it, no bodies.

    ``part`` is the id of the split part that was under way, or "" for the message itself.
    """

    step: str
    kind: str
    outcome: str
    children: tuple[str, ...] = ()
    part: str = ""


class ChildFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a split that failed while the others went on; parked as a message of its own."""

    message: Message
    split: str  # the split step's name: a retry goes on there
    step: str  # where it failed
    error: MessageError

    @property
    def properties(self) -> Mapping[str, str]:
        """What must travel beside the message for a retry: hand ``properties.get(PART, "")`` to ``Flow.run``."""
        return MappingProxyType({PART: self.split})


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that follows from one message, or from the answer that it waited for.

    A failed one has neither sends nor calls nor events nor holds nor controls nor failed children; ``again`` tells
    where a leg goes on when it is tried again (None: from the flow's beginning). ``through`` are the tickets of what is
    at its end.
    """

    status: Literal["completed", "filtered", "failed", "waiting"]
    sends: tuple[Send, ...] = ()
    calls: tuple[Call, ...] = ()
    events: tuple[Event, ...] = ()
    holds: tuple[Hold, ...] = ()
    through: tuple[Ticket, ...] = ()
    controls: tuple[Control, ...] = ()
    steps: list[StepTrace] = []
    error: MessageError | None = None
    step: str = ""  # where it failed
    subject: str | None = None  # of the message, where its contract had to tell it
    children: tuple[ChildFailure, ...] = ()
    again: Continuation | None = None
