"""Between messages and a saga's inputs and effects: what travels beside a command comes back with its answer."""

from __future__ import annotations

from esb.broker.port import (
    ASKED,
    CONTEXT,
    DEADLINE,
    EFFECT,
    ERROR,
    ERROR_KIND,
    REPLY,
    REPLY_TO,
    Delivery,
    endpoint_queue,
    event_key,
    saga_queue,
)
from esb.errors import DecodeError, MessageError
from esb.formats.numbers import decode_json
from esb.message import child_of, derive_id
from esb.saga import Answer, Command, Due, Event, Input, Late, Saga, SetTimer
from esb.saga.state import Direction
from esb.store import Dispatch, Timer

TIMER = "esb-timer"  # property of a saga's timer: which saga, and which of its waits
TIMER_TYPE = "esb.saga.timer"


def read(delivery: Delivery) -> tuple[str, Input] | None:
    """Which saga a message is for, and what it says; None: it starts one. Raises ``MessageError``."""
    properties = delivery.properties
    if TIMER in properties:
        return _timer(properties[TIMER])
    if REPLY in properties:
        return _answer(delivery)
    return None


def _answer(delivery: Delivery) -> tuple[str, Input]:
    properties = delivery.properties
    id, direction, attempt, step = _parts(properties.get(CONTEXT, ""), 4)
    if not attempt.isdecimal():
        raise MessageError(f"the context {properties.get(CONTEXT)!r} is none that a saga gave along")
    answer = Answer(
        step=step,
        direction=_direction(direction),
        attempt=int(attempt),
        done=properties[REPLY] == "done",
        body=_json(delivery.message.body),
        error_kind=properties.get(ERROR_KIND, ""),
        error=properties.get(ERROR, ""),
        certain=properties.get(EFFECT) == "none",
    )
    return id, answer


def _timer(text: str) -> tuple[str, Input]:
    id, direction, due, step = _parts(text, 4)
    return id, Due(step, _direction(direction), float(due)) if step else Late()


def _parts(text: str, count: int) -> list[str]:
    parts = text.split(" ", count - 1)
    if len(parts) != count:
        raise MessageError(f"{text!r} is nothing that a saga gave along")
    return parts


def _direction(word: str) -> Direction:
    return "undo" if word == "undo" else "action"


def _json(body: bytes) -> bytes:
    """An answer that is no JSON has nothing to say to later steps."""
    try:
        decode_json(body)
    except DecodeError:
        return b""
    return body


def command(saga: Saga, effect: Command) -> Dispatch:
    """A call of a step. It may have been asked for before: then its endpoint is told that the answer was heard."""
    properties = {
        "operation": effect.operation,
        REPLY_TO: saga_queue(saga.name),
        CONTEXT: f"{saga.id} {effect.direction} {effect.attempt} {effect.step}",
    }
    if effect.deadline is not None:
        properties[DEADLINE] = repr(effect.deadline)
    if effect.again:
        properties[ASKED] = str(effect.attempt - 1)
    return Dispatch(message=effect.message, to=endpoint_queue(effect.endpoint), properties=properties)


def event(effect: Event) -> Dispatch:
    """What tells the end."""
    message = effect.message
    return Dispatch(message=message, to=event_key(message.type, message.version), event=True)


def timer_id(saga: Saga, step: str, direction: str, due: float) -> str:
    """Each wait has its own, so that a timer that fires late takes no later one with it."""
    return f"{saga.id}:{step}:{direction}:{due!r}"


def timer(saga: Saga, effect: SetTimer) -> Timer:
    """A wait, as a message that comes when it is over."""
    id = timer_id(saga, effect.step, effect.direction, effect.due)
    trigger = saga.trigger
    message_id = derive_id(saga.id, trigger.epoch, f"saga:{saga.name}", id, 0)
    message = child_of(trigger, message_id, TIMER_TYPE, 0, trigger.subject or saga.key, b"null")
    properties = {TIMER: f"{saga.id} {effect.direction} {effect.due!r} {effect.step}"}
    return Timer(id=id, due_at=effect.due, to=saga_queue(saga.name), message=message, properties=properties)


def stale_timers(before: Saga | None, after: Saga) -> list[str]:
    """Ids of the waits that are over."""
    if before is None:
        return []
    was, now = _waits(before), set() if after.is_over else _waits(after)
    return sorted(was - now)


def _waits(saga: Saga) -> set[str]:
    waits = {timer_id(saga, "", "action", saga.deadline)} if saga.deadline is not None else set()
    for state in saga.steps:
        for direction in ("action", "undo"):
            due = (state.action if direction == "action" else state.undo).due
            waits |= {timer_id(saga, state.name, direction, due)} if due else set()
    return waits
