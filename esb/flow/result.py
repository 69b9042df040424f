"""What a flow answers: plain records for others to act on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from esb.errors import MessageError
from esb.message import Message

PART = "esb-part"  # property of a parked part: the split step in whose body it goes on


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """A command to an endpoint. ``tap``: a copy on the side, from a wiretap."""

    message: Message
    endpoint: str
    operation: str
    step: str
    tap: bool = False


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event for whoever wants it."""

    message: Message
    step: str


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
    """All that follows from one message. A failed one has neither sends nor events nor failed children."""

    status: Literal["completed", "filtered", "failed"]
    sends: tuple[Send, ...] = ()
    events: tuple[Event, ...] = ()
    steps: list[StepTrace] = []
    error: MessageError | None = None
    step: str = ""  # where it failed
    subject: str | None = None  # of the message, where its contract had to tell it
    children: tuple[ChildFailure, ...] = ()
