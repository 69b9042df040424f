"""A flow that notes the document before and after each step, for journeys: bodies between steps are stored nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from esb.config.components import Step
from esb.config.definition import Definition
from esb.contract import Contract
from esb.flow.compile import compile_flow
from esb.flow.context import Context, Parts
from esb.flow.legs import Continuation
from esb.flow.result import Failure, Result
from esb.flow.work import Action, Work
from esb.message import Message


class Seen(msgspec.Struct, frozen=True):
    """One step with the document before and after it. ``part`` as in :class:`~esb.flow.result.StepTrace`."""

    step: str
    kind: str
    part: str
    before: Any
    after: Any
    answered: bool = False  # not the asking, but the taking of the answer


class Recorder:
    """One flow of a definition, compiled once more so that it takes notes. Belongs to one thread."""

    def __init__(self, name: str, definition: Definition, parts: Parts, covered: bool = False) -> None:
        """Args: the flow's name, its definition, what that compiles to, and ``covered``: documents are masked, so they
        need not meet their contracts."""
        self._seen: list[Seen] = []
        if covered:
            parts = msgspec.structs.replace(parts, contracts={ref: _open(one) for ref, one in parts.contracts.items()})
        self._flow = compile_flow(definition.flows[name], definition, parts, self._context)

    @property
    def seen(self) -> list[Seen]:
        """Each step that ran so far, inner ones before the one around them."""
        return list(self._seen)

    def run(self, message: Message, part: str = "") -> Result:
        """As :meth:`~esb.flow.run.Flow.run`."""
        return self._flow.run(message, part)

    def resume(self, at: Continuation, answer: Any = None, failure: Failure | None = None) -> Result:
        """As :meth:`~esb.flow.run.Flow.resume`."""
        return self._flow.resume(at, answer, failure)

    def _context(self, *arguments: Any) -> Context:
        return _Noting(self._seen.append, *arguments)


class _Noting(Context):
    def __init__(self, note: Callable[[Seen], None], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._note = note

    # What is compiled must not lead back to this context: a cycle would be dropped on any thread, and expressions
    # may be dropped on their own only.

    def action(self, step: Step) -> Action:
        act, note = super().action(step), self._note

        def run(work: Work) -> bool:
            before = work.document.value
            try:
                return act(work)
            finally:
                note(Seen(step.name, step.kind, work.part, before, work.document.value))

        return run

    def waits(self, step: Step, ask: Action, take: Callable[[Work, Any], None]) -> Action:
        note = self._note

        def taken(work: Work, answer: Any) -> None:
            before = work.document.value
            take(work, answer)
            note(Seen(step.name, step.kind, work.part, before, work.document.value, answered=True))

        return super().waits(step, ask, taken)


def _open(contract: Contract) -> Contract:
    """A contract of the same name that lets everything pass."""
    subject = contract.schema.get("x-subject")
    return Contract(contract.ref, {} if subject is None else {"x-subject": subject})
