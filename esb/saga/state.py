"""The state of one saga: what of each step is known to have taken place, and what of it is undone."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from esb.formats.numbers import decode_json
from esb.message import Message

Status = Literal["running", "compensating", "stuck", "completed", "compensated", "ended"]
Direction = Literal["action", "undo"]
Progress = Literal["none", "waiting", "started", "done", "failed", "unknown", "skipped"]
ActName = Literal["retry", "skip", "compensate", "end"]

ENDS: frozenset[Status] = frozenset(("completed", "compensated", "ended"))
ACTS: tuple[ActName, ...] = ("retry", "skip", "compensate", "end")
LONGEST_HISTORY = 200  # entries; of a saga that goes on and on the oldest after the first go


class Leg(msgspec.Struct, frozen=True, omit_defaults=True):
    """One direction of a step: its action, or what undoes it. Times are seconds since the epoch.

    ``none``: not begun. ``waiting``: a compensation that waits for its action's late answer. ``started``: sent.
    ``unknown``: no answer came in time, or one that says nobody knows. ``skipped``: a person answers for it.
    ``attempt`` counts how often it was sent, ``tries`` how often since a person last looked.
    """

    state: Progress = "none"
    attempt: int = 0
    tries: int = 0
    at: float = 0.0
    due: float = 0.0  # when the wait that is under way ends: for an answer, or before the next try
    error_kind: str = ""
    error: str = ""


class StepState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step. ``request`` and ``answer`` are JSON: what the action was sent, and what came back."""

    name: str
    action: Leg = Leg()
    undo: Leg = Leg()
    request: bytes = b""
    answer: bytes = b""

    def leg(self, direction: Direction) -> Leg:
        """The action's, or the compensation's."""
        return self.action if direction == "action" else self.undo


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the history. ``at``: epoch seconds."""

    at: float
    step: str
    what: str
    detail: str = ""


class Saga(msgspec.Struct, frozen=True, kw_only=True):
    """One saga.

    ``at`` is the index of the step under way (behind the last, or -1 when all is undone: the end is to be told),
    ``pivot`` that of the pivot (-1: there is none). ``turned_back``: it undoes, or has undone.
    """

    id: str
    name: str
    key: str
    definition: str  # the version it began with, and keeps
    trigger: Message
    steps: tuple[StepState, ...]
    status: Status = "running"
    at: int = 0
    pivot: int = -1
    turned_back: bool = False
    deadline: float | None = None  # up to the pivot; epoch seconds
    started_at: float = 0.0
    updated_at: float = 0.0
    ended_at: float | None = None
    reason: str = ""  # why it turned back, is stuck or was ended
    history: tuple[Entry, ...] = ()
    version: int = 0  # counts the changes that were stored

    @property
    def is_over(self) -> bool:
        """Nothing will happen to it any more."""
        return self.status in ENDS

    @property
    def step(self) -> str:
        """The name of the step under way; "" behind the last."""
        return self.steps[self.at].name if 0 <= self.at < len(self.steps) else ""

    @property
    def has_passed_pivot(self) -> bool:
        """There is no way back any more."""
        return self.pivot >= 0 and self.steps[self.pivot].action.state in ("done", "skipped")

    @property
    def waits_for_pivot(self) -> bool:
        """Stuck because nobody knows whether the pivot took place."""
        at_pivot = self.at == self.pivot >= 0 and not self.has_passed_pivot
        return self.status == "stuck" and at_pivot and not self.turned_back

    def acts(self) -> tuple[ActName, ...]:
        """What a person may do with it now."""
        if self.is_over:
            return ()
        if self.waits_for_pivot:
            return ("retry", "skip", "compensate", "end")
        if self.status == "stuck":
            return ("retry", "skip", "end") if self.step else ("skip", "end")
        can_turn = self.status == "running" and not self.has_passed_pivot and self.at != self.pivot
        return ("compensate", "end") if can_turn else ("end",)

    def document(self, answers: dict[str, str]) -> Any:
        """The trigger's document with the answers in it. Args: field name by step, for those that keep theirs."""
        document = decode_json(self.trigger.body)
        found = {answers[s.name]: decode_json(s.answer) for s in self.steps if s.answer and s.name in answers}
        return {**document, **found} if found and isinstance(document, dict) else document
