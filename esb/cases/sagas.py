"""Runs the cases of a saga: a trigger, what each call answers, and time that passes at once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from esb.cases.files import CallAnswer, ExpectedSend, SagaCase, SagaOutcome
from esb.config.findings import nearest
from esb.config.mappings import plain
from esb.errors import EsbError
from esb.message import Message
from esb.saga import Answer, Command, Due, Event, Input, Late, Move, Saga, SagaDefinition, SetTimer, advance, start

LONGEST = 1000  # moves: a saga that goes on and on is cut off there


class Played(msgspec.Struct):
    """What became of a saga: its state, the calls it made, the events it published."""

    saga: Saga
    calls: list[tuple[str, Message]] = []
    events: list[tuple[str, Message]] = []


def play(definition: SagaDefinition, trigger: Message, case: SagaCase) -> Played:
    """Run a saga to where nothing more happens by itself. Raises ``MessageError`` when it cannot start."""
    return _Player(definition, case, trigger).run(trigger)


class _Player:
    """Answers calls in the order in which they were made; when none is left, the earliest timer is due."""

    def __init__(self, definition: SagaDefinition, case: SagaCase, trigger: Message) -> None:
        self._definition = definition
        self._answers = case.answers
        self._asked: Counter[str] = Counter()
        self._inputs: deque[Input] = deque()
        self._timers: list[SetTimer] = []
        self._now = trigger.time

    def run(self, trigger: Message) -> Played:
        move = start(self._definition, trigger, self._definition.key(trigger), self._now)
        played = Played(move.saga)
        self._carry_out(move, played)
        for _ in range(LONGEST):
            input = self._next()
            if input is None:
                break
            move = advance(self._definition, played.saga, input, self._now)
            played.saga = move.saga
            self._carry_out(move, played)
        return played

    def _next(self) -> Input | None:
        if self._inputs:
            return self._inputs.popleft()
        if not self._timers:
            return None
        timer = min(self._timers, key=lambda each: each.due)
        self._timers.remove(timer)
        self._now = max(self._now, timer.due)
        return Due(timer.step, timer.direction, timer.due) if timer.step else Late()

    def _carry_out(self, move: Move, played: Played) -> None:
        for effect in move.effects:
            if isinstance(effect, Command):
                name = f"{effect.endpoint}.{effect.operation}"
                played.calls.append((name, effect.message))
                self._answer(name, effect)
            elif isinstance(effect, SetTimer):
                self._timers.append(effect)
            elif isinstance(effect, Event):
                played.events.append((effect.message.contract, effect.message))

    def _answer(self, name: str, command: Command) -> None:
        given = self._answers.get(name, self._answers.get(command.endpoint))
        if isinstance(given, tuple):
            given = given[min(self._asked[name], len(given) - 1)] if given else None
        self._asked[name] += 1
        if given == "nothing":
            return
        of = partial(Answer, step=command.step, direction=command.direction, attempt=command.attempt)
        if isinstance(given, CallAnswer) and given.failed:
            certain = given.failed not in unknown_kinds()
            error = f"{name} answered {given.failed}"
            self._inputs.append(of(done=False, error_kind=given.failed, error=error, certain=certain))
        else:
            body = msgspec.json.encode(plain(given.done) if isinstance(given, CallAnswer) else None)
            self._inputs.append(of(done=True, body=body))


def unknown_kinds() -> set[str]:
    """Kinds of failures that leave open whether something took place."""
    kinds, waiting = set(), [EsbError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if getattr(kind, "effect_unknown", False):
            kinds.add(kind.kind)
    return kinds


def unknown_calls(definition: SagaDefinition, case: SagaCase) -> list[str]:
    """What is wrong with the names of the answers: they must be calls of the saga."""
    calls = [call for step in definition.steps for call in (step.action, step.undo) if call]
    known = {f"{call.endpoint}.{call.operation}" for call in calls} | {call.endpoint for call in calls}
    problems = []
    for name in case.answers:
        if name not in known:
            near = nearest(name, known)
            problems.append(f"the saga never calls {name!r}" + (f": did you mean {near!r}?" if near else ""))
    return problems


def judge_saga(expected: SagaOutcome, played: Played, went_out: Any) -> list[str]:
    """What is different. ``went_out`` compares what went out with what was expected."""
    saga = played.saga
    problems = []
    if saga.status != expected.status:
        reason = f": {saga.reason}" if saga.reason else ""
        problems.append(f"expected status {expected.status}, got {saga.status}{reason}")
    if expected.step is not None and saga.step != expected.step:
        problems.append(f"expected to be at step {expected.step}, got {saga.step or 'none'}")
    if expected.contains is not None and expected.contains not in saga.reason:
        problems.append(f"expected {expected.contains!r} in the reason: {saga.reason}")
    if expected.calls is not None:
        calls = _shortened(expected.calls, played.calls)
        problems += went_out("call", [(one.to, one) for one in expected.calls], calls)
    if expected.publishes is not None:
        problems += went_out("publish", [(one.event, one) for one in expected.publishes], played.events)
    return problems


def _shortened(expected: Sequence[ExpectedSend], calls: Sequence[tuple[str, Message]]) -> list[tuple[str, Message]]:
    """By the endpoint alone where the case names no more."""
    short = [n < len(expected) and "." not in expected[n].to for n in range(len(calls))]
    return [(name.partition(".")[0] if s else name, m) for (name, m), s in zip(calls, short, strict=True)]
