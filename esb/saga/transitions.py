"""State and input give a new state and effects: a process manager (Hohpe & Woolf) in functions without I/O or clock.

Forward, one step at a time. A failure before the pivot turns the saga back: every step that was begun and may have
taken place is undone, the last first. Behind the pivot there is only forward. A call that must succeed (a
compensation, a step behind the pivot) and does not is tried again, and then a person is asked.

An input that is old news (a repeated answer, a timer of a wait that is over) changes nothing, so every input may come
any number of times.
"""

from __future__ import annotations

from typing import Any

import msgspec

from esb.errors import MessageError
from esb.message import Message
from esb.saga.definition import Outcome, SagaDefinition
from esb.saga.effects import Command, Effect, Event, Move, SetTimer, Trace, Undone
from esb.saga.inputs import Act, Answer, Due, Input, Late
from esb.saga.state import LONGEST_HISTORY, Direction, Entry, Leg, Saga, Status, StepState

OUTCOME = "(outcome)"  # in the place of a step: the event that tells the end
_OPEN = ("started", "unknown", "failed")


def start(definition: SagaDefinition, trigger: Message, key: str, now: float) -> Move:
    """A saga that begins. ``key`` is what ``definition.key(trigger)`` gives."""
    deadline = now + definition.timeout if definition.timeout else None
    saga = Saga(
        id=definition.id_of(trigger),
        name=definition.name,
        key=key,
        definition=definition.hash,
        trigger=trigger,
        steps=tuple(StepState(name=step.name) for step in definition.steps),
        pivot=definition.pivot,
        deadline=deadline,
        started_at=now,
    )
    turn = _Turn(definition, saga, now)
    if deadline is not None:
        turn.effects.append(SetTimer("", "action", deadline))
    turn.note("", "started", trigger.contract)
    turn.forward(0)
    return turn.move()


def advance(definition: SagaDefinition, saga: Saga, input: Input, now: float) -> Move:
    """What an input makes of a saga. ``definition`` is the one it began with."""
    turn = _Turn(definition, saga, now)
    if not saga.is_over:
        if isinstance(input, Answer):
            turn.answered(input)
        elif isinstance(input, Due):
            turn.due(input)
        elif isinstance(input, Late):
            turn.late()
        else:
            turn.acted(input)
    return turn.move()


class _Turn:
    """One transition under way."""

    def __init__(self, definition: SagaDefinition, saga: Saga, now: float) -> None:
        self.definition = definition
        self.before = self.saga = saga
        self.now = now
        self.effects: list[Effect] = []
        self.traces: list[Trace] = []

    def move(self) -> Move:
        """What has come of it."""
        if self.saga is self.before:
            return Move(self.before, changed=False)
        changes: dict[str, Any] = {"updated_at": self.now, "version": self.before.version + 1}
        return Move(msgspec.structs.replace(self.saga, **changes), tuple(self.effects), tuple(self.traces))

    # --- small changes ------------------------------------------------------------------------------------------

    def note(self, step: str, what: str, detail: str = "") -> None:
        """A line of the history."""
        history = (*self.saga.history, Entry(self.now, step, what, detail[:500]))
        if len(history) > LONGEST_HISTORY:
            history = (history[0], *history[-LONGEST_HISTORY + 1 :])
        self._set(history=history)

    def _set(self, **changes: Any) -> None:
        self.saga = msgspec.structs.replace(self.saga, **changes)

    def _step(self, number: int, **changes: Any) -> None:
        steps = list(self.saga.steps)
        steps[number] = msgspec.structs.replace(steps[number], **changes)
        self._set(steps=tuple(steps))

    def _leg(self, number: int, direction: Direction, **changes: Any) -> Leg:
        leg = msgspec.structs.replace(self.saga.steps[number].leg(direction), at=self.now, **changes)
        self._step(number, **{direction: leg})
        return leg

    def _trace(self, number: int, direction: Direction, outcome: str, *children: str) -> None:
        name = self.saga.steps[number].name
        kind = "call" if direction == "action" else "compensate"
        self.traces.append(Trace(name if direction == "action" else f"{name}:compensate", kind, outcome, children))

    def _number(self, step: str) -> int:
        return next((n for n, state in enumerate(self.saga.steps) if state.name == step), -1)

    # --- forward ------------------------------------------------------------------------------------------------

    def forward(self, number: int) -> None:
        """Begin a step, or end behind the last."""
        self._set(status="running", at=number, reason="")
        if number == len(self.saga.steps):
            self._end("completed", self.definition.completed)
        else:
            self._send(number, "action")

    def _send(self, number: int, direction: Direction) -> None:
        """Send a step's command, for the first time or again. What cannot be made has failed without effect."""
        before = self.saga.steps[number].leg(direction)
        attempt = before.attempt + 1
        try:
            message = self.definition.request(self.saga, number, direction)
        except MessageError as error:
            self._leg(number, direction, state="started", attempt=attempt, tries=before.tries + 1)
            self._failed(number, direction, error.kind, str(error), certain=True)
            return
        deadline = self._deadline(number, direction)
        self._leg(number, direction, state="started", attempt=attempt, tries=before.tries + 1, due=0.0)
        if direction == "action":
            self._step(number, request=message.body)
        call = self.definition.steps[number].call(direction)
        self.effects.append(
            Command(
                step=self.saga.steps[number].name, direction=direction, attempt=attempt, endpoint=call.endpoint,
                operation=call.operation, message=message, deadline=deadline,
            )
        )  # fmt: skip
        if deadline is not None and self.definition.steps[number].timeout:
            self._wait(number, direction, deadline)
        what = "sent" if direction == "action" else "compensation sent"
        self.note(self.saga.steps[number].name, what, f"again, {attempt} times now" if attempt > 1 else "")
        self._trace(number, direction, f"{call.endpoint}.{call.operation}", message.id)

    def _deadline(self, number: int, direction: Direction) -> float | None:
        """When an answer comes too late: only on the way to the pivot, for behind it there is nothing to turn to."""
        if direction == "undo" or self.saga.has_passed_pivot:
            return None
        timeout = self.definition.steps[number].timeout
        limits = [self.now + timeout] if timeout else []
        if self.saga.deadline and self.saga.deadline > self.now:
            limits.append(self.saga.deadline)
        return min(limits, default=None)

    def _wait(self, number: int, direction: Direction, due: float, **changes: Any) -> None:
        """Until ``due``, unless something happens before."""
        self._leg(number, direction, due=due, **changes)
        self.effects.append(SetTimer(self.saga.steps[number].name, direction, due))

    # --- answers ------------------------------------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        """An endpoint has spoken. What took place counts whenever it is told, a failure only of the last try."""
        number = self._number(answer.step)
        if number < 0:
            return
        leg = self.saga.steps[number].leg(answer.direction)
        if answer.done and leg.state in _OPEN:
            self._took_place(number, answer)
        elif not answer.done and leg.state in ("started", "unknown") and answer.attempt == leg.attempt:
            self._failed(number, answer.direction, answer.error_kind, answer.error, answer.certain)

    def _took_place(self, number: int, answer: Answer) -> None:
        direction = answer.direction
        was = self.saga.steps[number]
        self._leg(number, direction, state="done", due=0.0, error_kind="", error="")
        if direction == "undo":
            self._undone(number)
            return
        self._step(number, answer=answer.body)
        self.note(was.name, "done")
        if not self.saga.turned_back and self.saga.at == number:
            self.forward(number + 1)
        elif was.undo.state == "waiting":
            self._stop_waiting(number)

    def _undone(self, number: int) -> None:
        name = self.saga.steps[number].name
        self.note(name, "compensated")
        endpoint = self.definition.steps[number].action.endpoint
        self.effects.append(Undone(self.definition.command_id(self.saga, name, "action"), endpoint))
        self._back()

    # --- failures -----------------------------------------------------------------------------------------------

    def _failed(self, number: int, direction: Direction, kind: str, error: str, certain: bool) -> None:
        self._leg(number, direction, state="failed" if certain else "unknown", due=0.0, error_kind=kind, error=error)
        name = self.saga.steps[number].name
        self.note(name, "failed" if direction == "action" else "compensation failed", f"{kind}: {error}")
        self._trace(number, direction, f"failed: {kind}")
        if direction == "undo":
            self._undo_failed(number)
        elif self.saga.turned_back:
            self._failed_late(number, certain)
        elif self.saga.has_passed_pivot:
            self._again(number, "action", self.definition.steps[number].action.delays)
        elif number == self.saga.pivot and not certain:
            self._ask(f"nobody knows whether {name} took place: {error}")
        else:
            self._turn_back(number, f"{name} failed: {error}")

    def _failed_late(self, number: int, certain: bool) -> None:
        """An action that was given up is answered after all. If it certainly failed there is nothing to undo."""
        undo = self.saga.steps[number].undo
        if undo.state == "waiting":
            self._stop_waiting(number)
        elif certain and undo.state in ("failed", "unknown"):
            self._undo_failed(number)

    def _undo_failed(self, number: int) -> None:
        """A compensation must succeed, unless it is certain by now that there is nothing to undo."""
        if self.saga.steps[number].action.state == "failed":
            self._leg(number, "undo", state="none", due=0.0)
            self._back()
        else:
            call = self.definition.steps[number].undo
            self._again(number, "undo", call.delays if call else ())

    def _again(self, number: int, direction: Direction, delays: tuple[float, ...]) -> None:
        """Try once more after a while; when the waits are used up, ask a person."""
        state = self.saga.steps[number]
        leg = state.leg(direction)
        if leg.tries <= len(delays):
            self._wait(number, direction, self.now + delays[leg.tries - 1])
        else:
            what = state.name if direction == "action" else f"the compensation of {state.name}"
            self._ask(f"{what} fails: {leg.error}")

    def _ask(self, reason: str) -> None:
        self._set(status="stuck", reason=reason)
        self.note(self.saga.step, "stuck", reason)

    # --- time ---------------------------------------------------------------------------------------------------

    def due(self, due: Due) -> None:
        """A wait is over; one that ended before, or began anew, is none."""
        number = self._number(due.step)
        leg = self.saga.steps[number].leg(due.direction) if number >= 0 else Leg()
        if number != self.saga.at or leg.due != due.due:
            return
        if due.direction == "undo":
            self._undo_due(number, leg)
        elif self.saga.status == "running":
            self._action_due(number, leg)

    def _undo_due(self, number: int, leg: Leg) -> None:
        if self.saga.status == "compensating" and leg.state == "waiting":
            self._stop_waiting(number)
        elif self.saga.status == "compensating" and leg.state in ("failed", "unknown"):
            self._send(number, "undo")

    def _action_due(self, number: int, leg: Leg) -> None:
        if leg.state == "started" and not self.saga.has_passed_pivot:
            self._timed_out(number, f"{self.saga.steps[number].name} was not answered in time")
        elif leg.state == "unknown" and number == self.saga.pivot:
            self._leg(number, "action", due=0.0)
            self._ask(f"nobody knows whether {self.saga.steps[number].name} took place: it was not answered")
        elif leg.state in ("failed", "unknown") and self.saga.has_passed_pivot:
            self._send(number, "action")

    def late(self) -> None:
        """The time of the whole saga is up: that counts on the way to the pivot only."""
        can_turn = self.saga.status == "running" and not self.saga.has_passed_pivot
        if can_turn and self.saga.steps[self.saga.at].action.state == "started":
            self._timed_out(self.saga.at, "the saga took too long")

    def _timed_out(self, number: int, reason: str) -> None:
        """An answer may still come: it is waited for as long as an attempt under way can take."""
        self._leg(number, "action", state="unknown", error_kind="time-out", error=reason)
        self.note(self.saga.steps[number].name, "time-out", reason)
        self._trace(number, "action", "time-out")
        if number == self.saga.pivot:
            self._wait(number, "action", self.now + self.definition.steps[number].action.grace)
        else:
            self._turn_back(number, reason, wait=True)

    # --- back ---------------------------------------------------------------------------------------------------

    def _turn_back(self, number: int, reason: str, wait: bool = False) -> None:
        """Undo, from this step on backwards. ``wait``: for its late answer first."""
        self._set(status="compensating", turned_back=True, reason=reason, at=number)
        if wait:
            self._wait(number, "undo", self.now + self.definition.steps[number].action.grace, state="waiting")
        else:
            self._back()

    def _back(self) -> None:
        """Undo the last step that may have taken place and is not undone; when there is none left, that is the end."""
        self._set(status="compensating")
        for at in range(len(self.saga.steps) - 1, -1, -1):
            state = self.saga.steps[at]
            if state.action.state in ("done", "unknown") and self.definition.steps[at].undo and not state.undo.attempt:
                self._set(at=at)
                self._send(at, "undo")
                return
        self._end("compensated", self.definition.compensated)

    def _stop_waiting(self, number: int) -> None:
        """For the late answer of an action: it is here, or does not come."""
        self._leg(number, "undo", state="none", due=0.0)
        self._back()

    # --- the end ------------------------------------------------------------------------------------------------

    def _end(self, status: Status, outcome: Outcome | None) -> None:
        """It is over, and is told; an event that cannot be made needs a person."""
        if outcome is not None:
            try:
                self.effects.append(Event(self.definition.event(self.saga, outcome)))
            except MessageError as error:
                self._set(at=len(self.saga.steps) if status == "completed" else -1)
                self._ask(f"the event {outcome.contract.ref} cannot be made: {error}")
                return
        self._set(status=status, ended_at=self.now, at=len(self.saga.steps) if status == "completed" else -1)
        self.note("", status)
        published = [effect.message.id for effect in self.effects if isinstance(effect, Event)]
        self.traces.append(Trace(OUTCOME, "publish" if published else "end", status, tuple(published)))

    # --- a person -----------------------------------------------------------------------------------------------

    def acted(self, act: Act) -> None:
        """A person decides. Raises ``ValueError`` for what is not among ``saga.acts()`` now."""
        if act.act not in self.saga.acts():
            raise ValueError(f"a saga that is {self.saga.status} knows no {act.act}")
        self.note(self.saga.step, f"{act.act} by {act.who}", act.reason)
        {"retry": self._retry, "skip": self._skip, "compensate": self._compensate, "end": self._stop}[act.act](act)

    def _retry(self, act: Act) -> None:
        direction: Direction = "undo" if self.saga.turned_back else "action"
        self._set(status="running" if direction == "action" else "compensating")
        self._leg(self.saga.at, direction, tries=0)
        self._send(self.saga.at, direction)

    def _skip(self, act: Act) -> None:
        """The person answers for the step: it took place, or is undone, by hand."""
        number = self.saga.at
        if not self.saga.step:
            self._tell()
        elif self.saga.turned_back:
            self._leg(number, "undo", state="skipped", due=0.0)
            self._undone(number)
        else:
            self._leg(number, "action", state="skipped", due=0.0)
            self.forward(number + 1)

    def _tell(self) -> None:
        """The end, without the event that could not be made."""
        status: Status = "compensated" if self.saga.turned_back else "completed"
        self._end(status, None)

    def _compensate(self, act: Act) -> None:
        """Turn back now. Of a pivot whose outcome nobody knew, the person says that it did not take place."""
        reason = f"{act.who}: {act.reason}" if act.reason else f"turned back by {act.who}"
        if self.saga.waits_for_pivot:
            self._leg(self.saga.at, "action", state="failed", due=0.0)
            self._turn_back(self.saga.at, reason)
        else:
            self._leg(self.saga.at, "action", state="unknown", error_kind="turned back", error=reason)
            self._turn_back(self.saga.at, reason, wait=True)

    def _stop(self, act: Act) -> None:
        """End it as it is: whatever took place stays."""
        self._set(status="ended", ended_at=self.now, reason=f"{act.who}: {act.reason}" if act.reason else act.who)
        self.traces.append(Trace(OUTCOME, "end", "ended"))
