"""A flow that takes notes: of each step the document before and after it, what it went by, and what its mappings did.

Compiled apart, for journeys, explanations and the coverage of tests: bodies between steps are stored nowhere, and the
flow that messages go through pays nothing. A step kind owes it nothing either: expressions, conditions and mappings
that it has from the context are noted, and so is what it hands to :meth:`~esb.flow.context.Context.watched`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from esb.config.components import Step
from esb.config.definition import Definition
from esb.contract import Contract
from esb.expression_paths import readings
from esb.flow.compile import compile_flow, compile_mapping
from esb.flow.context import Context, Parts
from esb.flow.legs import Collect, Continuation
from esb.flow.result import Failure, Result, StepTrace
from esb.flow.switches import NOTHING_SET, Switches
from esb.flow.work import Action, Work
from esb.mapping import Mapping as CompiledMapping
from esb.mapping_trace import Applied, Rule, TracedMapping
from esb.message import Message


class Note(msgspec.Struct, frozen=True):
    """A value that a step went by: ``what`` is an expression, or what the step calls it. ``error``: it has none."""

    what: str
    value: Any = None
    error: str = ""
    roots: Mapping[str, Any] = {}  # what an expression could read: the document under "", variables by name

    @property
    def reads(self) -> list[tuple[str, str]]:
        """What the expression found at the paths it reads."""
        return readings(self.what, self.roots)


class Visit(msgspec.Struct):
    """A message at a step, from its coming to its going.

    ``part`` is as in :class:`~esb.flow.result.StepTrace`, ``answered`` true for the taking of an answer. ``below`` are
    visits of steps inside the step.
    """

    step: Step
    part: str
    before: Any
    answered: bool = False
    after: Any = None
    notes: list[Note] = []
    rules: list[Applied] = []
    traces: list[StepTrace] = []
    below: list[Visit] = []
    error: str = ""

    def walk(self) -> Iterator[Visit]:
        """This one and all below it, as they began."""
        yield self
        for inner in self.below:
            yield from inner.walk()


class Recorder:
    """One flow of a definition, compiled once more so that it takes notes. Belongs to one thread."""

    def __init__(self, name: str, definition: Definition, parts: Parts, covered: bool = False) -> None:
        """Args: the flow's name, its definition, what that compiles to, and ``covered``: documents are masked, so they
        need not meet their contracts."""
        if covered:
            parts = msgspec.structs.replace(parts, contracts={ref: _open(one) for ref, one in parts.contracts.items()})
        self._log = _Log()
        self.flow = compile_flow(definition.flows[name], definition, parts, partial(_Noting, self._log))

    @property
    def visits(self) -> list[Visit]:
        """What came to pass so far, in order."""
        return self._log.visits

    @property
    def rules(self) -> list[Rule]:
        """All rules of the mappings in it."""
        return self._log.rules

    def forget(self) -> None:
        """Take notes from here."""
        self._log.clear()

    def run(self, message: Message, part: str = "", switches: Switches = NOTHING_SET) -> Result:
        """As :meth:`~esb.flow.run.Flow.run`."""
        return self.flow.run(message, part, switches)

    def resume(
        self, at: Continuation, answer: Any = None, failure: Failure | None = None, switches: Switches = NOTHING_SET
    ) -> Result:
        """As :meth:`~esb.flow.run.Flow.resume`."""
        return self.flow.resume(at, answer, failure, switches)


class _Log:
    """The notes. What is compiled leads here, and never back to its context: a cycle would be dropped on any thread,
    and expressions may be dropped on their own only."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.rules: list[Rule] = []
        self._open: list[Visit] = []
        self._told: dict[int, StepTrace] = {}  # traces that a visit has, by id

    def clear(self) -> None:
        self.visits, self._open = [], []
        self._told.clear()

    def visit(self, step: Step, work: Work, act: Callable[[], Any], answered: bool = False) -> Any:
        """Do what a step does, and note it."""
        visit = Visit(step, work.part, work.document.value, answered)
        (self._open[-1].below if self._open else self.visits).append(visit)
        self._open.append(visit)
        said = len(work.steps)
        try:
            return act()
        except BaseException as error:
            visit.error = str(error)
            raise
        finally:
            self._open.pop()
            visit.after = work.document.value
            visit.traces = [
                t for t in work.steps[said:] if t.step == step.name and t.part == work.part and self._new(t)
            ]

    def watch(self, what: str, work: Work, value: Callable[[Work], Any]) -> Any:
        """A value, noted at the step under way."""
        roots = {**work.bindings, "": work.document.value}
        try:
            found = value(work)
        except Exception as error:
            self._note(Note(what, error=str(error), roots=roots))
            raise
        self._note(Note(what, found, roots=roots))
        return found

    def mapping(self, *arguments: Any, **more: Any) -> CompiledMapping:
        """One whose rules are noted."""
        mapping = TracedMapping(self._rule, *arguments, **more)
        self.rules += mapping.rules
        return mapping

    def _rule(self, applied: Applied) -> None:
        if self._open:
            self._open[-1].rules.append(applied)

    def _note(self, note: Note) -> None:
        if self._open:
            self._open[-1].notes.append(note)

    def _new(self, trace: StepTrace) -> bool:
        if id(trace) in self._told:
            return False
        self._told[id(trace)] = trace
        return True


class _Noting(Context):
    def __init__(self, log: _Log, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._log = log

    def action(self, step: Step) -> Action:
        act, visit = super().action(step), self._log.visit
        return lambda work: visit(step, work, lambda: act(work))

    def waits(
        self, step: Step, ask: Action, take: Callable[[Work, Any], None], collect: Collect | None = None
    ) -> Action:
        visit = self._log.visit

        def taken(work: Work, answer: Any) -> None:
            visit(step, work, lambda: take(work, answer), answered=True)

        return super().waits(step, ask, taken, collect)

    def watched(self, what: str, value: Callable[[Work], Any]) -> Callable[[Work], Any]:
        watch = self._log.watch
        return lambda work: watch(what, work, value)

    def _named(self, name: str, mapping: CompiledMapping) -> CompiledMapping:
        return compile_mapping(self._definition.mappings[name], self._definition, self._log.mapping)

    def _fixed(self, fields: Mapping[str, Any]) -> None:
        """Constants are rules, too, and noted."""

    def _in_place(self, *arguments: Any, **more: Any) -> CompiledMapping:
        return self._log.mapping(*arguments, **more)


def _open(contract: Contract) -> Contract:
    """A contract of the same name that lets everything pass."""
    subject = contract.schema.get("x-subject") if isinstance(contract.schema, Mapping) else None
    return Contract(contract.ref, {} if subject is None else {"x-subject": subject})
