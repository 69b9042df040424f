"""A saga's definition, compiled: expressions, mappings and contracts resolved once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from esb.config.definition import Definition, LoadedSaga
from esb.config.mappings import plain
from esb.config.models import Compensation, InlineMapping, MappingRef, SagaEvent, SagaStep
from esb.contract import Contract
from esb.errors import ConfigError, ExpressionError, MessageError
from esb.expression import Bindings, Data, Expression
from esb.formats.numbers import decode_json
from esb.mapping import Mapping as CompiledMapping
from esb.message import LONGEST_KEY, Message, child_of, derive_id
from esb.saga.state import Direction, Saga

LEAST_GRACE = 5.0  # seconds, beyond what an attempt under way may still take

Build = Callable[[Any, Message], tuple[Any, str, int]]  # document, trigger -> document, type, version


class Call(msgspec.Struct, frozen=True):
    """One request to an endpoint. ``build`` None: the document as it is. ``grace``: seconds for a late answer."""

    endpoint: str
    operation: str
    contract: Contract | None
    build: Build | None
    grace: float
    delays: tuple[float, ...]


class Step(msgspec.Struct, frozen=True):
    """An action, and what undoes it."""

    name: str
    action: Call
    undo: Call | None
    pivot: bool
    timeout: float | None

    def call(self, direction: Direction) -> Call:
        """The action's, or the compensation's. Raises ``MessageError`` where there is none."""
        call = self.action if direction == "action" else self.undo
        if call is None:
            raise MessageError(f"step {self.name} has no compensation")
        return call


class Outcome(msgspec.Struct, frozen=True):
    """The event that tells how a saga ended."""

    contract: Contract
    build: Build | None


class SagaDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled saga. Pure, and may be shared by threads."""

    name: str
    hash: str  # of the whole definition it belongs to
    contract: Contract | None  # of what starts it
    key_of: Expression
    steps: tuple[Step, ...]
    answers: dict[str, str]  # step -> field of the saga's document
    timeout: float | None
    completed: Outcome | None
    compensated: Outcome | None

    @property
    def place(self) -> str:
        """Where it stands in journeys; enters the ids of its commands."""
        return f"saga:{self.name}"

    @property
    def pivot(self) -> int:
        """Index of the pivot, or -1."""
        return next((number for number, step in enumerate(self.steps) if step.pivot), -1)

    def id_of(self, trigger: Message) -> str:
        """The saga that a message starts has always the same id."""
        return derive_id(trigger.id, trigger.epoch, self.place, "saga", 0)

    def key(self, trigger: Message) -> str:
        """The business key. Raises ``MessageError`` when the trigger breaks its contract, has none, or one too long."""
        document = decode_json(trigger.body)
        if self.contract is not None:
            self.contract.check(document)
        key = self.key_of.evaluate(Data(document), Bindings(trigger))
        if key is None or isinstance(key, bool | list | dict) or key == "":
            raise ExpressionError(f"saga {self.name}: the key `{self.key_of.text}` gives no text and no number")
        text, most = str(key), LONGEST_KEY - len(trigger.key(""))
        if len(text) > most:
            raise ExpressionError(
                f"saga {self.name}: the key `{self.key_of.text}` gives {len(text)} characters, "
                f"and {most} are the most: name a shorter field there, or mend the document"
            )
        return trigger.key(text)

    def command_id(self, saga: Saga, step: str, direction: Direction) -> str:
        """A step's command has one id, however often it is sent."""
        word = step if direction == "action" else f"{step}:compensate"
        return derive_id(saga.id, saga.trigger.epoch, self.place, word, 0)

    def request(self, saga: Saga, number: int, direction: Direction) -> Message:
        """What is sent for a step. Raises ``MessageError`` when it cannot be made, or breaks the contract."""
        step = self.steps[number]
        call = step.call(direction)
        document = saga.document(self.answers) if direction == "action" or call.build else _undoing(saga, number)
        document, type, version = _made(call.build, document, saga.trigger)
        return self._message(saga, self.command_id(saga, step.name, direction), document, call.contract, type, version)

    def event(self, saga: Saga, outcome: Outcome) -> Message:
        """The event of an end. Raises ``MessageError`` when it cannot be made, or breaks its contract."""
        document, _, _ = _made(outcome.build, saga.document(self.answers), saga.trigger)
        id = derive_id(saga.id, saga.trigger.epoch, self.place, outcome.contract.ref, 0)
        return self._message(saga, id, document, outcome.contract, "", 0)

    def _message(
        self, saga: Saga, id: str, document: Any, contract: Contract | None, type: str, version: int
    ) -> Message:
        trigger, subject = saga.trigger, saga.trigger.subject or saga.key
        body = _json(document)
        if contract is None:
            return child_of(trigger, id, type, version, subject, body)
        contract.check(document)
        return child_of(trigger, id, contract.type, contract.version, contract.subject(Data(document)) or subject, body)


def _undoing(saga: Saga, number: int) -> Any:
    """What a compensation gets to see: what its action was sent, with its answer laid on top (Courier's log entry)."""
    step = saga.steps[number]
    request = decode_json(step.request) if step.request else saga.document({})
    answer = decode_json(step.answer) if step.answer else None
    if isinstance(request, dict) and isinstance(answer, dict):
        return {**request, **answer}
    return request


def _made(build: Build | None, document: Any, trigger: Message) -> tuple[Any, str, int]:
    return build(document, trigger) if build else (document, trigger.type, 0)


def _json(document: Any) -> bytes:
    try:
        return msgspec.json.encode(document)
    except (UnicodeEncodeError, TypeError) as error:
        raise MessageError(f"the document cannot be written as JSON: {error}") from error


def compile_saga(
    loaded: LoadedSaga,
    definition: Definition,
    contracts: Mapping[str, Contract],
    mappings: Mapping[str, CompiledMapping],
) -> SagaDefinition:
    """One saga of a definition, with the definition's compiled contracts and mappings.

    Raises ``ConfigError``, ``MappingError`` or ``ExpressionError`` for what ``check`` would have found.
    """
    return _Compiler(loaded, definition, contracts, mappings).saga()


class _Compiler:
    def __init__(self, loaded: LoadedSaga, definition: Definition, contracts: Any, mappings: Any) -> None:
        self._loaded = loaded
        self._definition = definition
        self._contracts = contracts
        self._mappings = mappings

    def saga(self) -> SagaDefinition:
        loaded = self._loaded
        return SagaDefinition(
            name=loaded.name,
            hash=self._definition.hash,
            contract=self._contracts.get(self._started_by() or ""),
            key_of=Expression(loaded.key, where=f"{loaded.file}:{loaded.line}"),
            steps=tuple(self._step(step) for step in loaded.steps),
            answers={step.name: step.answer for step in loaded.steps if step.answer},
            timeout=loaded.timeout,
            completed=self._outcome(loaded.completed),
            compensated=self._outcome(loaded.compensated),
        )

    def _started_by(self) -> str | None:
        if self._loaded.is_event:
            return self._loaded.source
        receive = self._found(self._definition.endpoints, self._loaded.source, "endpoint").receive
        return receive.common.contract if receive else None

    def _step(self, step: SagaStep) -> Step:
        return Step(
            name=step.name,
            action=self._call(step, self._loaded.recovery.delays),
            undo=self._undo(step.compensate) if step.compensate else None,
            pivot=step.pivot,
            timeout=step.timeout,
        )

    def _undo(self, compensation: Compensation) -> Call:
        return self._call(compensation, (compensation.recovery or self._loaded.recovery).delays)

    def _call(self, wanted: SagaStep | Compensation, delays: tuple[float, ...]) -> Call:
        name, _, word = wanted.call.partition(".")
        endpoint = self._found(self._definition.endpoints, name, "endpoint")
        word = word or (next(iter(endpoint.operations)) if len(endpoint.operations) == 1 else "")
        common = self._found(endpoint.operations, word, f"operation of {name}").common
        contract = self._found(self._contracts, common.contract, "contract") if common.contract else None
        grace = endpoint.timeout * (endpoint.recovery.retries + 1) + LEAST_GRACE
        return Call(name, word, contract, self._build(wanted.mapping), grace, delays)

    def _outcome(self, event: SagaEvent | None) -> Outcome | None:
        if event is None:
            return None
        return Outcome(self._found(self._contracts, event.publish, "contract"), self._build(event.mapping))

    def _build(self, ref: MappingRef | None) -> Build | None:
        if ref is None:
            return None
        mapping = self._mapping(ref)
        contract = self._found(self._contracts, mapping.target, "contract") if mapping.target else None

        def build(document: Any, trigger: Message) -> tuple[Any, str, int]:
            made = mapping.apply(Data(document), Bindings(trigger))
            if contract is None:
                return made, trigger.type, 0
            contract.check(made)
            return made, contract.type, contract.version

        return build

    def _mapping(self, ref: str | InlineMapping) -> CompiledMapping:
        if isinstance(ref, str):
            found: CompiledMapping = self._found(self._mappings, ref, "mapping")
            return found
        loaded = self._loaded
        return CompiledMapping(
            loaded.name, plain(ref.set), target=ref.target, lines={(): loaded.line}, file=loaded.file
        )

    def _found(self, table: Mapping[str, Any], name: str, what: str) -> Any:
        if name not in table:
            raise ConfigError(
                f"{self._loaded.file}:{self._loaded.line}: saga {self._loaded.name}: there is no {what} {name!r}"
            )
        return table[name]
