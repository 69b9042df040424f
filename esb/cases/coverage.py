"""What test cases came by: steps, branches and mapping rules, and where what none of them came by stands.

Generic over step kinds: a step is taken when a message came to it, a branch when the step said so (``outcomes``), a
rule when it made something. Flows and mappings are compiled once more, so that they take notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from esb.config.components import Step
from esb.config.definition import Definition
from esb.flow import STEPS, Flow, Parts, compile_mapping
from esb.flow.recording import Recorder
from esb.mapping_trace import Applied, Rule, TracedMapping
from esb.saga import Saga

Sort = Literal["step", "branch", "rule"]
SORTS: tuple[Sort, ...] = ("step", "branch", "rule")


class Item(msgspec.Struct, frozen=True):
    """Something that a case can come by. ``name`` tells it from others of its line."""

    file: str
    line: int
    sort: Sort
    name: str
    taken: bool

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Covered(msgspec.Struct, frozen=True):
    """How much of one file was taken."""

    file: str
    items: Sequence[Item]

    @property
    def counts(self) -> dict[Sort, tuple[int, int]]:
        """How many were taken, and how many there are, by sort."""
        found = {sort: [item.taken for item in self.items if item.sort == sort] for sort in SORTS}
        return {sort: (sum(taken), len(taken)) for sort, taken in found.items() if taken}

    @property
    def missed(self) -> list[Item]:
        """What was not, as it stands in the file."""
        return [item for item in self.items if not item.taken]


_Key = tuple[str, Sort, str]  # file:line, sort, name


class Coverage:
    """Notes of one run. For one thread: that which runs the cases."""

    def __init__(self, definition: Definition, parts: Parts) -> None:
        """Args: the bus, and the same compiled."""
        self._definition = definition
        self._recorders = {name: Recorder(name, definition, parts) for name in definition.flows}
        self._taken: set[_Key] = set()
        mappings = {name: self._traced(name) for name in definition.mappings}
        flows: dict[str, Flow] = {name: recorder.flow for name, recorder in self._recorders.items()}
        self.parts = msgspec.structs.replace(parts, flows=flows, mappings=mappings)
        self._rules = [rule for mapping in mappings.values() for rule in mapping.rules]
        self._rules += [rule for recorder in self._recorders.values() for rule in recorder.rules]

    def harvest(self, sagas: Iterable[Saga] = ()) -> None:
        """Take over what was noted since; ``sagas`` are those of the case."""
        for recorder in self._recorders.values():
            for visit in (one for top in recorder.visits for one in top.walk()):
                self._taken.add(_step(visit.step))
                self._taken |= {_branch(visit.step, trace.outcome) for trace in visit.traces}
                for applied in visit.rules:
                    self._apply(applied)
            recorder.forget()
        for saga in sagas:
            self._saga(saga)

    def report(self) -> list[Covered]:
        """By file; files with nothing to take are left out."""
        by_file: dict[str, list[Item]] = {}
        for item in dict.fromkeys(self._items()):
            by_file.setdefault(item.file, []).append(item)
        return [Covered(file, sorted(items, key=lambda item: item.line)) for file, items in sorted(by_file.items())]

    def _traced(self, name: str) -> TracedMapping:
        found = compile_mapping(
            self._definition.mappings[name], self._definition, lambda **more: TracedMapping(self._apply, **more)
        )
        assert isinstance(found, TracedMapping)
        return found

    def _apply(self, applied: Applied) -> None:
        if applied.value is not msgspec.UNSET or applied.elements:
            self._taken.add(_rule(applied.rule))

    def _saga(self, saga: Saga) -> None:
        loaded = self._definition.sagas[saga.name]
        for state, line in zip(saga.steps, loaded.lines, strict=True):
            where = f"{loaded.file}:{line}"
            if state.action.attempt:
                self._taken.add((where, "step", state.name))
            if state.undo.attempt:
                self._taken.add((where, "branch", f"compensation of {state.name}"))

    def _items(self) -> Iterator[Item]:
        for key in self._keys():
            where, sort, name = key
            file, _, line = where.rpartition(":")
            yield Item(file, int(line), sort, name, key in self._taken)

    def _keys(self) -> Iterator[_Key]:
        for flow in self._definition.flows.values():
            for step in (*_steps(flow.steps), *_steps(flow.on_error)):
                yield _step(step)
                yield from (_branch(step, outcome) for outcome in STEPS[step.kind].outcomes(step.settings))
        for saga in self._definition.sagas.values():
            for one, line in zip(saga.steps, saga.lines, strict=True):
                yield f"{saga.file}:{line}", "step", one.name
                if one.compensate is not None:
                    yield f"{saga.file}:{line}", "branch", f"compensation of {one.name}"
        yield from map(_rule, self._rules)


def _steps(steps: Sequence[Step]) -> Iterator[Step]:
    """All of them, nested ones too, as they stand in the file."""
    for number, step in enumerate(steps):
        kind = STEPS[step.kind]
        whole = kind.absorb(step, steps[number + 1 :])
        yield whole or step
        sketch = kind.sketch((whole or step).settings)
        for way in (*sketch.ways, *((sketch.body,) if sketch.body else ())):
            yield from _steps(way.steps)
        yield from _steps(step.on_error)
        if whole:
            break


def _step(step: Step) -> _Key:
    return f"{step.file}:{step.line}", "step", step.name


def _branch(step: Step, outcome: str) -> _Key:
    """Where the first of its steps stands, if it has any: a branch that is a condition often has a line of its own."""
    ways = STEPS[step.kind].sketch(step.settings).ways
    first = next((way.steps[0] for way in ways if way.title == outcome and way.steps), step)
    return f"{step.file}:{first.line}", "branch", f"{step.name}: {outcome}"


def _rule(rule: Rule) -> _Key:
    return rule.where, "rule", rule.path
