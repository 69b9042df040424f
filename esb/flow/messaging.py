"""Steps that let messages out: ``send`` (recipient list), ``publish`` (publish-subscribe) and ``wiretap``.

All of them leave the document as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, RootModel, model_validator

from esb.config.components import Path, Scope, Step
from esb.config.models import ContractRef
from esb.config.shorthand import Shorthand
from esb.flow.result import Event
from esb.flow.result import Send as Command
from esb.flow.run import located
from esb.flow.step import Kind, Link, Sketch
from esb.flow.transformation import MappingRef, named
from esb.flow.work import Action, Work
from esb.message import derive_id

if TYPE_CHECKING:
    from esb.flow.context import Context

Build = Callable[[Work], Command]  # what goes to one recipient


class Recipient(Shorthand):
    """``endpoint.operation`` (or an endpoint that has just one), or ``{to: endpoint.operation, map: mapping}``."""

    short: ClassVar[str] = "to"
    to: str = Field(description="endpoint.operation, or an endpoint that has just one operation.")
    map: MappingRef | None = Field(None, description="What is sent is the document as this mapping makes it.")


def _one_or_many(schema: dict[str, Any]) -> None:
    many = {key: schema.pop(key) for key in ("type", "items", "minItems") if key in schema}
    schema["anyOf"] = [many["items"], many]


class Recipients(RootModel[tuple[Recipient, ...]]):
    """One recipient or a list of them."""

    model_config = ConfigDict(frozen=True, json_schema_extra=_one_or_many)
    root: tuple[Recipient, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else [value]

    def check(self, scope: Scope, at: Path) -> None:
        """Report what its recipients refer to; ``at`` is where they stand in the step's settings."""
        for number, recipient in enumerate(self.root):
            here = (*at, number) if len(self.root) > 1 else at
            going = scope if recipient.map is None else scope.mapping(recipient.map, (*here, "map"))
            going.operation(recipient.to, (*here, "to"))


class Send(Kind):
    """Sends the document to one endpoint or several, each with its own mapping.

    What is sent meets the operation's contract. With a list of recipients the ids do not depend on the list's order.
    """

    kind: ClassVar[str] = "send"
    summary = "Send the document to endpoints."
    Settings = Recipients

    @classmethod
    def target(cls, settings: Recipients) -> str:
        return settings.root[0].to if len(settings.root) == 1 else ""

    @classmethod
    def sketch(cls, settings: Recipients) -> Sketch:
        return links_of(settings.root)

    @classmethod
    def check(cls, settings: Recipients, scope: Scope) -> Scope:
        settings.check(scope, ())
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        builds = builders(step.settings.root, step, context, step.name)
        outcome = ", ".join(recipient.to for recipient in step.settings.root)

        def run(work: Work) -> bool:
            work.at = step
            sends = [build(work) for build in builds]
            work.sends += sends
            work.trace(outcome, tuple([send.message.id for send in sends]))
            return True

        return run


def links_of(recipients: Sequence[Recipient], answers: bool = False, text: str = "") -> Sketch:
    """A step that lets a message out to several; ``text`` instead of their names."""
    parts = [recipient.to.partition(".") for recipient in recipients]
    found = [named(recipient.map) for recipient in recipients]
    return Sketch(
        text or ", ".join(recipient.to for recipient in recipients),
        links=tuple(Link("endpoint", name, operation, answers) for name, _, operation in parts),
        mappings=tuple(name for mappings, _ in found for name in mappings),
        contracts=tuple(ref for _, contracts in found for ref in contracts),
    )


class Wiretap(Send):
    """Sends a copy on the side: if it cannot be made, the trace says so and the message goes on.

    Once made it is a message like any other: it goes out when its flow completes, and if the endpoint fails it is
    retried and parked there by itself, marked as a tap. It never holds up the message it was taken from.
    """

    kind: ClassVar[str] = "wiretap"
    summary = "Send a copy on the side that cannot fail the message."

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        builds = builders(step.settings.root, step, context, step.name, tap=True)

        def run(work: Work) -> bool:
            work.at = step
            for build in builds:
                try:
                    send = build(work)
                except Exception as cause:
                    work.trace(f"no copy: {located(cause, context.name, step)}")
                else:
                    work.sends.append(send)
                    work.trace(f"{send.endpoint}.{send.operation}", (send.message.id,))
            return True

        return run


def builders(
    recipients: Sequence[Recipient], step: Step, context: Context, word: str, tap: bool = False
) -> list[Build]:
    """One function a recipient; ``word`` makes its id. In a list its name does, too, so that the order does not."""
    seen: Counter[str] = Counter()
    builds = []
    for recipient in recipients:
        name = word if len(recipients) == 1 else f"{word}[{recipient.to}]"
        builds.append(_build(recipient, step, context, (name, seen[recipient.to]), tap))
        seen[recipient.to] += 1
    return builds


def _build(recipient: Recipient, step: Step, context: Context, identity: tuple[str, int], tap: bool) -> Build:
    endpoint, operation, contract = context.operation(recipient.to, step)
    convert = None if recipient.map is None else context.mapping(recipient.map, step)
    name = step.name
    word, ordinal = identity

    def build(work: Work) -> Command:
        parent = work.message
        document = work.document if convert is None else convert(work)
        id = derive_id(parent.id, parent.epoch, work.place, word, ordinal)
        message = document.child(parent, id, contract)
        return Command(message=message, endpoint=endpoint, operation=operation, step=name, tap=tap)

    return build


class PublishSettings(Shorthand):
    """``type/v1``, or ``{event: type/v1, map: mapping}``."""

    short: ClassVar[str] = "event"
    event: ContractRef = Field(description="The event's type and version; the document meets its contract.")
    map: MappingRef | None = Field(None, description="What is published is the document as this mapping makes it.")


class Publish(Kind):
    """Tells whoever wants to know: the document goes out as an event."""

    kind: ClassVar[str] = "publish"
    summary = "Publish the document as an event."
    Settings = PublishSettings

    @classmethod
    def target(cls, settings: PublishSettings) -> str:
        return settings.event

    @classmethod
    def sketch(cls, settings: PublishSettings) -> Sketch:
        mappings, contracts = named(settings.map)
        links = (Link("event", settings.event),)
        return Sketch(settings.event, links=links, mappings=mappings, contracts=(settings.event, *contracts))

    @classmethod
    def check(cls, settings: PublishSettings, scope: Scope) -> Scope:
        going = scope if settings.map is None else scope.mapping(settings.map, ("map",))
        going.contract(settings.event, ("event",))
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: PublishSettings = step.settings
        contract = context.contract(settings.event, step)
        convert = None if settings.map is None else context.mapping(settings.map, step)
        name, outcome = step.name, settings.event

        def run(work: Work) -> bool:
            work.at = step
            parent = work.message
            document = work.document if convert is None else convert(work)
            message = document.child(parent, derive_id(parent.id, parent.epoch, work.place, name, 0), contract)
            work.events.append(Event(message=message, step=name))
            work.trace(outcome, (message.id,))
            return True

        return run
