"""Steps that ask and wait (Request-Reply): ``call``, and ``enrich`` (content enricher, from another system).

Nothing waits in memory. The request goes out with a continuation, and the message goes on where the answer arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from esb.config.components import Hidden, Scope, Step, Steps
from esb.config.mappings import plain
from esb.config.models import InlineMapping
from esb.config.shorthand import Shorthand
from esb.errors import MappingError
from esb.flow.legs import leave
from esb.flow.result import Call as Request
from esb.flow.step import Kind, Link, Sketch
from esb.flow.transformation import MappingRef, merging, named
from esb.flow.work import Action, Document, Work
from esb.mapping import LookupMiss, lookup
from esb.masking import Mask
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
    def kept(cls, settings: CallSettings, hidden: Hidden) -> Mask:
        return hidden.reply(settings.to).below(settings.name) if settings.name else Mask()

    @classmethod
    def check(cls, settings: CallSettings, scope: Scope) -> Scope:
        _check_request(settings, scope)
        return scope.answered(settings.to, settings.name) if settings.name else scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        return context.waits(step, _ask(step, context), _keep(step.settings.name))


def _keep(name: str | None) -> Callable[[Work, Any], None]:
    def take(work: Work, answer: Any) -> None:
        if name is not None:
            before = work.document
            work.document = Document({**object_of(before), name: answer}, before.type, 0)

    return take


class EnrichSettings(CallSettings):
    """``{to: endpoint.operation, map: …, set: {field: $answer.field}}``, or ``{lookup: file, key: …, set: {…}}``."""

    to: str = Field("", description="endpoint.operation, or an endpoint that has just one operation.")
    lookup: str | None = Field(None, description="Instead of an endpoint: a file such as lookups/countries.csv.")
    key: str | None = Field(None, description="A JSONata expression for the key in the lookup's first column.")
    default: Any = Field(
        None, description="Stands for $answer where the lookup has no such key; without it, that fails."
    )
    fields: dict[str, Any] = Field(
        min_length=1, alias="set", description="Fields as in the step set; $answer is what came back."
    )

    @model_validator(mode="after")
    def _one_way(self) -> EnrichSettings:
        if self.name is not None:
            raise ValueError("enrich takes the fields it needs with set; for the whole answer write call with as")
        if bool(self.to) == (self.lookup is not None):
            raise ValueError("enrich asks an endpoint (to) or a file (lookup): write one of them")
        if (self.lookup is None) != (self.key is None):
            raise ValueError("a lookup needs its key, and only a lookup has one")
        if self.lookup is not None and not {"map", "timeout", "on_error"}.isdisjoint(self.model_fields_set):
            raise ValueError("a lookup is not sent anything: map, timeout and on_error inside belong to an endpoint")
        return self

    @property
    def waits(self) -> bool:
        """A lookup answers at once."""
        return self.lookup is None


class Enrich(Kind):
    """Asks an endpoint or a lookup, and puts fields of the answer (``$answer``) into the document, as ``set`` does.

    All leaves see the document as it was before the step. What holds for ``call`` holds here. A lookup's answer is its
    second column, or the row where it has more.
    """

    kind: ClassVar[str] = "enrich"
    summary = "Add fields from what an endpoint answers, or from a lookup."
    Settings = EnrichSettings

    @classmethod
    def target(cls, settings: EnrichSettings) -> str:
        return settings.lookup or settings.to

    @classmethod
    def sketch(cls, settings: EnrichSettings) -> Sketch:
        return Sketch(settings.lookup) if settings.lookup else _sketch(settings)

    @classmethod
    def kept(cls, settings: EnrichSettings, hidden: Hidden) -> Mask:
        return hidden.taken(settings.to, settings.fields) if settings.to else Mask()

    @classmethod
    def check(cls, settings: EnrichSettings, scope: Scope) -> Scope:
        if settings.lookup:
            scope.expression(settings.key, ("key",))
            knowing = scope.with_row(settings.lookup, ("lookup",))
        else:
            _check_request(settings, scope)
            knowing = scope.with_answer(settings.to)
        knowing.mapping(InlineMapping(set=settings.fields), ("set",))
        return knowing.with_fields(settings.fields)

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        merge = merging(plain(step.settings.fields), step, context)

        def take(work: Work, answer: Any) -> None:
            before, document = work.bindings, work.document
            work.bindings = before.and_also(answer=answer)
            try:
                work.document = Document(merge(work, document.value), document.type, 0)
            finally:
                work.bindings = before

        if step.settings.lookup:
            return _look_up(step, context, take)
        return context.waits(step, _ask(step, context), take)


def _look_up(step: Step, context: Context, take: Callable[[Work, Any], None]) -> Action:
    settings: EnrichSettings = step.settings
    file, default = settings.lookup or "", plain(settings.default)
    find, key = lookup(file, context.lookup(file, step)), context.expression(settings.key or "", step)
    may_miss = "default" in settings.model_fields_set

    def answer(work: Work) -> Any:
        try:
            return find(key(work))
        except LookupMiss:
            if may_miss:
                return default
            raise

    def run(work: Work) -> bool:
        work.at = step
        take(work, answer(work))
        work.trace(file)
        return True

    return run


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
