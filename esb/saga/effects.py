"""What has to be done because a saga moved on. Whoever stores the new state sees to it, in the same commit."""

from __future__ import annotations

import msgspec

from esb.message import Message
from esb.saga.state import Direction, Saga


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Send ``message`` to an endpoint. ``deadline``: it must not be sent later (epoch seconds).

    A command that is sent ``again`` has the same id: the same obligation, the same key at the other side.
    """

    step: str
    direction: Direction
    attempt: int
    endpoint: str
    operation: str
    message: Message
    deadline: float | None = None

    @property
    def again(self) -> bool:
        return self.attempt > 1


class SetTimer(msgspec.Struct, frozen=True):
    """Give :class:`~esb.saga.inputs.Due` (or ``Late`` where ``step`` is empty) at ``due``, epoch seconds."""

    step: str
    direction: Direction
    due: float


class Event(msgspec.Struct, frozen=True):
    """Tell whoever wants to know."""

    message: Message


class Undone(msgspec.Struct, frozen=True):
    """The effect of an action's command was compensated."""

    message_id: str
    endpoint: str


Effect = Command | SetTimer | Event | Undone


class Trace(msgspec.Struct, frozen=True):
    """A line of the journey: what a step did, and the messages that came of it."""

    step: str
    kind: str
    outcome: str
    children: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True):
    """From one state to the next. ``changed`` False: the input was old news, and there is nothing to store."""

    saga: Saga
    effects: tuple[Effect, ...] = ()
    traces: tuple[Trace, ...] = ()
    changed: bool = True
