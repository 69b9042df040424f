"""What steps compile against: one flow of one definition, and its expressions, mappings and references as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from esb.config.components import Step
from esb.config.definition import Definition
from esb.config.mappings import plain
from esb.config.models import InlineMapping
from esb.contract import Contract
from esb.errors import ConfigError, ExpressionError
from esb.expression import Expression
from esb.expression_plain import MISSING, Unsure
from esb.flow.legs import Collect, Pending, Rest, guarded
from esb.flow.run import Flow
from esb.flow.work import Action, Document, Work
from esb.mapping import Constant, Fields, Pointer, parse
from esb.mapping import Mapping as CompiledMapping
from esb.masking import Masks
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.step import Kind


_VARIABLES = ("$message", "$now", "$millis", "$error", "$answer")


class Parts(msgspec.Struct, frozen=True):
    """What a bus compiles to, shared by all its threads."""

    contracts: Mapping[str, Contract]
    mappings: Mapping[str, CompiledMapping]
    flows: Mapping[str, Flow]
    masks: Masks


class Context:
    """What steps compile against: one flow of one definition. ``place`` enters the ids of descendants."""

    def __init__(self, name: str, definition: Definition, parts: Parts, kinds: Mapping[str, type[Kind]]) -> None:
        self.name = name
        self.place = f"flow:{name}"
        self.version = definition.hash
        self.parts_of_splits: dict[str, Action] = {}
        self.pending: dict[str, Pending] = {}  # calls by the names of their steps
        self._behind: Rest | None = None  # what follows the step under compilation
        self._handler: Action | None = None  # its on_error
        self._depth = 0  # in how many bodies of repeating steps it stands
        self._definition = definition
        self._parts = parts
        self._kinds = kinds

    def block(self, steps: Sequence[Step]) -> Action:
        """Steps in a row as one function."""
        actions: list[Action] = []
        behind, handler = self._behind, self._handler
        for number, step in enumerate(steps):
            whole = self._kinds[step.kind].absorb(step, steps[number + 1 :])
            actions.append(self._step(whole or step, Rest(actions, number + 1, behind, handler, self._depth)))
            if whole:
                break
        return actions[0] if len(actions) == 1 else _in_a_row(tuple(actions))

    def action(self, step: Step) -> Action:
        """One step as a function."""
        return self._kinds[step.kind].compile(step, self)

    def whole(self, steps: Sequence[Step], on_error: Sequence[Step]) -> Action:
        """All steps of the flow; what fails in them goes to the flow's ``on_error`` where it has one."""
        handler = self.block(on_error) if on_error else None
        action = self._nested(steps, None, handler)
        return guarded(action, handler) if handler else action

    def part(self, step: Step, steps: Sequence[Step]) -> Action:
        """The body of a split: a block that a parked part can enter again, by the step's name. A part ends with it."""
        depth, self._depth = self._depth, 0
        body = self.parts_of_splits[step.name] = self._nested(steps, None, None)
        self._depth = depth
        return body

    def round(self, steps: Sequence[Step], again: Action) -> Action:
        """A body of a step that repeats; ``again`` is what comes behind it, wherever its end is reached."""
        behind = Rest([again], 0, self._behind, self._handler, self._depth)
        self._depth += 1
        body = self._nested(steps, behind, None)
        self._depth -= 1
        return body

    @property
    def definition(self) -> Definition:
        """All that the flow is a part of."""
        return self._definition

    @property
    def depth(self) -> int:
        """How many rounds are under way where the step under compilation is reached."""
        return self._depth

    def waits(
        self, step: Step, ask: Action, take: Callable[[Work, Any], None], collect: Collect | None = None
    ) -> Action:
        """A step whose request goes out by ``ask``, and whose answer is put into the document by ``take``.

        ``collect``: what is done about each of several answers, before they are one.
        """
        assert self._behind is not None
        # A level of its own, without steps: what its own on_error protects is the taking of the answer.
        rest = Rest([], 0, self._behind, self._handler, self._depth)
        self.pending[step.name] = Pending(step, ask, take, rest, collect)
        return ask

    def _step(self, step: Step, rest: Rest) -> Action:
        before = self._behind, self._handler
        handler = self._nested(step.on_error, rest, None) if step.on_error else None
        self._behind, self._handler = rest, handler
        try:
            action = self.action(step)
        finally:
            self._behind, self._handler = before
        return guarded(action, handler) if handler else action

    def _nested(self, steps: Sequence[Step], behind: Rest | None, handler: Action | None) -> Action:
        before = self._behind, self._handler
        self._behind, self._handler = behind, handler
        try:
            return self.block(steps)
        finally:
            self._behind, self._handler = before

    def expression(self, text: str, step: Step) -> Callable[[Work], Any]:
        """An expression as a function of the work at hand."""
        expression = Expression(text, where=f"{step.file}:{step.line}")
        evaluate, quick = expression.evaluate, expression.quick
        if speaks_of_message(text):
            return self.watched(text, lambda work: evaluate(work.document.data, work.bindings))
        if quick is None:
            return self.watched(text, lambda work: evaluate(work.document.data))

        def value(work: Work) -> Any:
            try:
                found = quick(work.document.value)
            except Unsure:
                return evaluate(work.document.data)
            return None if found is MISSING else found

        return self.watched(text, value)

    def watched(self, what: str, value: Callable[[Work], Any]) -> Callable[[Work], Any]:
        """A value that the step under compilation goes by, under the name by which people are told of it.

        Here it is the function itself, so that being told costs nothing; where notes are taken
        (:mod:`esb.flow.recording`) each of its values is noted. Expressions and conditions are watched already; what a
        step looks up, counts or draws from elsewhere it hands in itself.
        """
        return value

    def condition(self, text: str, step: Step) -> Callable[[Work], bool]:
        """The same for a yes or no; anything but true and false raises ``ExpressionError``."""
        evaluate = self.expression(text, step)

        def holds(work: Work) -> bool:
            value = evaluate(work)
            if value is True or value is False:
                return value
            given = "nothing" if value is None else quote(value)
            raise ExpressionError(f"the condition `{text}` gives {given}: it must be true or false")

        return holds

    def mapping(self, ref: str | InlineMapping, step: Step) -> Callable[[Work], Document]:
        """A mapping by name or in place, as a function; its result has met the mapping's target contract."""
        mapping = self._mapping(ref, step)
        apply = _applied(mapping, self._definition.mappings[ref].set if isinstance(ref, str) else ref.set)
        contract = self.contract(mapping.target, step) if mapping.target else None
        if contract is None:
            return lambda work: Document(apply(work), work.document.type, 0)

        def convert(work: Work) -> Document:
            document = Document(apply(work), contract.type, contract.version)
            document.meet(contract)
            return document

        return convert

    def fields(self, fields: Mapping[str, Any], step: Step) -> Callable[[Work], dict[str, Any]]:
        """A tree of leaves as a function that gives their values."""
        whole = _applied(self._mapping(InlineMapping(set=dict(fields)), step), fields)
        fixed = self._fixed(fields)
        return whole if fixed is None else lambda work: {**fixed}

    def lookup(self, file: str, step: Step) -> Mapping[str, Any]:
        """A code list by its file: what stands under each key."""
        return self._found(self._definition.lookups, file, "lookup", step)

    def contract(self, ref: str, step: Step) -> Contract:
        """A contract by its ref."""
        return self._found(self._parts.contracts, ref, "contract", step)

    def operation(self, ref: str, step: Step) -> tuple[str, str, Contract | None]:
        """``endpoint.operation``, or an endpoint with just one: both names, and the contract of what is sent."""
        name, _, word = ref.partition(".")
        operations = self._found(self._definition.endpoints, name, "endpoint", step).operations
        word = word or (next(iter(operations)) if len(operations) == 1 else "")
        common = self._found(operations, word, f"operation of {name}", step).common
        return name, word, self.contract(common.contract, step) if common.contract else None

    def _fixed(self, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values of fields that are all plain constants, and so the same for every document."""
        tree = parse(fields)
        found = tree.fields if isinstance(tree, Fields) else ()
        values = {
            name: leaf.value
            for name, leaf in found
            if isinstance(leaf, Constant) and not isinstance(leaf.value, dict | list)
        }
        return values if found and len(values) == len(found) else None

    def _mapping(self, ref: str | InlineMapping, step: Step) -> CompiledMapping:
        if isinstance(ref, str):
            return self._named(ref, self._found(self._parts.mappings, ref, "mapping", step))
        lines: dict[Pointer, int] = {(): step.line}
        return self._in_place(step.name, plain(ref.set), target=ref.target, lines=lines, file=step.file)

    def _named(self, name: str, mapping: CompiledMapping) -> CompiledMapping:
        return mapping

    def _in_place(self, *arguments: Any, **more: Any) -> CompiledMapping:
        return CompiledMapping(*arguments, **more)

    def _found(self, table: Mapping[str, Any], name: str, what: str, step: Step) -> Any:
        if name not in table:
            raise ConfigError(
                f"{step.file}:{step.line}: flow {self.name}, step {step.name}: there is no {what} {name!r}"
            )
        return table[name]


def speaks_of_message(value: Any) -> bool:
    """Whether expressions in a value use ``$message`` (or a clock that tells its time) or another variable.

    Most do not, and go faster.
    """
    if isinstance(value, str):
        return any(word in value for word in _VARIABLES)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(speaks_of_message(part) for part in parts)


def _applied(mapping: CompiledMapping, tree: Any) -> Callable[[Work], Any]:
    apply = mapping.apply
    if speaks_of_message(tree):
        return lambda work: apply(work.document.data, work.bindings)
    return lambda work: apply(work.document.data)


def _in_a_row(actions: tuple[Action, ...]) -> Action:
    def run(work: Work) -> bool:
        for action in actions:  # noqa: SIM110 - all() with a generator costs a third of a microsecond
            if not action(work):
                return False
        return True

    return run
