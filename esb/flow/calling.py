"""Steps that ask and wait (Request-Reply): ``call``, and ``enrich`` (content enricher, from another system).

Nothing waits in memory. The request goes out with a continuation, and the message goes on where the answer arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from esb.config.components import Scope, Step, Steps
from esb.config.mappings import plain
from esb.config.models import InlineMapping
from esb.config.shorthand import Shorthand
from esb.errors import MappingError
from esb.flow.legs import leave
from esb.flow.result import Call as Request
from esb.flow.step import Kind, Link, Sketch
from esb.flow.transformation import MappingRef, merging, named
from esb.flow.work import Action, Document, Work
from esb.message import derive_id
from esb.ports import Duration
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


class CallSettings(Shorthand):
    """``endpoint.operation``, or ``{to: endpoint.operation, map: mapping, as: name, timeout: 10s}``."""

    short: ClassVar[str] = "to"
    to: str = Field(description="endpoint.operation, or an endpoint that has just one operation.")
    map: MappingRef | None = Field(None, description="What is asked is the document as this mapping makes it.")
    name: FieldName | None = Field(None, alias="as", description="The field of the document that takes the answer.")
    timeout: Duration | None = Field(
        None, description="What has not been sent by then fails; without it, as long as the endpoint's recovery tries."
    )
    on_error: Steps = Field(None, description="What happens instead when the call fails; may stand beside it, too.")

    @property
    def waits(self) -> bool:
        """The message goes on only when something came back."""
        return True


class Call(Kind):
    """Asks an endpoint and goes on when the answer is there; the answer stands in the document under ``as``.

    The answer has met the operation's ``reply`` contract. Where the endpoint's recovery is exhausted, the step fails.
    """

    kind: ClassVar[str] = "call"
    summary = "Ask an endpoint, and go on with its answer."
    Settings = CallSettings
    beside = ("as", "map", "timeout")

    @classmethod
    def target(cls, settings: CallSettings) -> str:
        return settings.to

    @classmethod
    def sketch(cls, settings: CallSettings) -> Sketch:
        return _sketch(settings)

    @classmethod
    def check(cls, settings: CallSettings, scope: Scope) -> Scope:
        _check_request(settings, scope)
        return scope.answered(settings.to, settings.name) if settings.name else scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        if step.settings.name:
            context.keeps(step.settings.name, step.settings.to, step)
        return context.waits(step, _ask(step, context), _keep(step.settings.name))


def _keep(name: str | None) -> Callable[[Work, Any], None]:
    def take(work: Work, answer: Any) -> None:
        if name is not None:
            before = work.document
            work.document = Document({**object_of(before), name: answer}, before.type, 0)

    return take


class EnrichSettings(CallSettings):
    """``{to: endpoint.operation, map: mapping, set: {field: $answer.field}, timeout: 10s}``."""

    fields: dict[str, Any] = Field(
        min_length=1, alias="set", description="Fields as in the step set; $answer is what came back."
    )

    @model_validator(mode="after")
    def _one_way(self) -> EnrichSettings:
        if self.name is not None:
            raise ValueError("enrich takes the fields it needs with set; for the whole answer write call with as")
        return self


class Enrich(Kind):
    """Asks an endpoint and puts fields of its answer (``$answer``) into the document, as ``set`` does.

    All leaves see the document as it was before the step. What holds for ``call`` holds here.
    """

    kind: ClassVar[str] = "enrich"
    summary = "Add fields from what an endpoint answers."
    Settings = EnrichSettings

    @classmethod
    def target(cls, settings: EnrichSettings) -> str:
        return settings.to

    @classmethod
    def sketch(cls, settings: EnrichSettings) -> Sketch:
        return _sketch(settings)

    @classmethod
    def check(cls, settings: EnrichSettings, scope: Scope) -> Scope:
        _check_request(settings, scope)
        scope.with_answer(settings.to).mapping(InlineMapping(set=settings.fields), ("set",))
        return scope.with_fields(settings.fields)

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        merge = merging(plain(step.settings.fields), step, context)

        def take(work: Work, answer: Any) -> None:
            before = work.bindings
            work.bindings = before.and_also(answer=answer)
            try:
                work.document = merge(work)
            finally:
                work.bindings = before

        return context.waits(step, _ask(step, context), take)


def _sketch(settings: CallSettings) -> Sketch:
    name, _, operation = settings.to.partition(".")
    mappings, contracts = named(settings.map)
    links = (Link("endpoint", name, operation, answers=True),)
    return Sketch(settings.to, links=links, mappings=mappings, contracts=contracts)


def _check_request(settings: CallSettings, scope: Scope) -> None:
    going = scope if settings.map is None else scope.mapping(settings.map, ("map",))
    going.operation(settings.to, ("to",))


def _ask(step: Step, context: Context) -> Action:
    """The request; the same message, asked again, gives the same id, so that an effect is recognised."""
    settings: CallSettings = step.settings
    endpoint, operation, contract = context.operation(settings.to, step)
    convert = None if settings.map is None else context.mapping(settings.map, step)
    # Not the context: what is compiled must hold no cycle, since a collector may drop expressions on any thread.
    flow, version = context.name, context.version
    name, outcome = step.name, f"asked {endpoint}.{operation}"
    needs_object = settings.name is not None or step.kind == Enrich.kind

    def run(work: Work) -> bool:
        work.at = step
        parent = work.message
        if needs_object:
            object_of(work.document)
        document = work.document if convert is None else convert(work)
        message = document.child(parent, derive_id(parent.id, parent.epoch, work.place, name, 0), contract)
        work.trace(outcome, (message.id,))
        continuation = leave(work, flow, version, asking=1)
        work.calls.append(
            Request(
                message=message, endpoint=endpoint, operation=operation, step=name, owner=parent,
                continuation=continuation, timeout=settings.timeout,
            )
        )  # fmt: skip
        work.suspended = True
        return False

    return run


def object_of(document: Document) -> dict[str, Any]:
    """The document, into which an answer is to be put. Raises ``MessageError`` when it is no object."""
    if not isinstance(document.value, dict):
        raise MappingError(f"an answer is put into an object, and the document is {quote(document.value)}")
    return document.value
