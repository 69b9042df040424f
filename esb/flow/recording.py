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
from esb.flow.result import Result
from esb.flow.work import Action, Work
from esb.message import Message


class Seen(msgspec.Struct, frozen=True):
    """One step with the document before and after it. ``part`` as in :class:`~esb.flow.result.StepTrace`."""

    step: str
    kind: str
    part: str
    before: Any
    after: Any
    ended: bool = False  # the step raised, or let nothing pass: what is behind it did not run


class Recorder:
    """One flow of a definition, compiled once more so that it takes notes. Belongs to one thread."""

    def __init__(self, name: str, definition: Definition, parts: Parts, covered: bool = False) -> None:
        """Args: the flow's name, its definition, what that compiles to, and ``covered``: documents are masked, so they
        need not meet their contracts."""
        self._seen: list[Seen] = []
        if covered:
            parts = msgspec.structs.replace(parts, contracts={ref: _open(one) for ref, one in parts.contracts.items()})
        self._flow = compile_flow(definition.flows[name], definition, parts, self._context)

    def run(self, message: Message, part: str = "") -> tuple[Result, list[Seen]]:
        """What :meth:`~esb.flow.run.Flow.run` gives, and each step that ran, inner ones before the one around them."""
        self._seen.clear()
        result = self._flow.run(message, part)
        return result, list(self._seen)

    def _context(self, *arguments: Any) -> Context:
        return _Noting(self._seen.append, *arguments)


class _Noting(Context):
    def __init__(self, note: Callable[[Seen], None], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._note = note

    def action(self, step: Step) -> Action:
        act = super().action(step)

        def run(work: Work) -> bool:
            before, goes_on = work.document.value, False
            try:
                goes_on = act(work)
            finally:
                after = work.document.value
                self._note(Seen(step.name, step.kind, work.part, before, after, ended=not goes_on))
            return goes_on

        return run


def _open(contract: Contract) -> Contract:
    """A contract of the same name that lets everything pass."""
    subject = contract.schema.get("x-subject")
    return Contract(contract.ref, {} if subject is None else {"x-subject": subject})
