"""``claim`` and ``fetch`` (claim check): a large document stays behind, and a small one with a reference goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from pydantic import Field

from esb import ports
from esb.config.components import Hidden, Scope, Step
from esb.config.models import InlineMapping
from esb.config.shorthand import Shorthand
from esb.errors import MessageError
from esb.flow.calling import FieldName, object_of
from esb.flow.groups import Deposit, Machine, Member, Memory, Move, Next, key_text
from esb.flow.holding import Arrival, holding
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Document, Work
from esb.masking import Mask
from esb.ports import Duration, Size

if TYPE_CHECKING:
    from esb.flow.context import Context

_encode = msgspec.json.Encoder().encode


class ClaimSettings(ports.Settings):
    """``claim: {keep: {orderId: orderId}}``; the reference stands under ``claim``."""

    waits: ClassVar[bool] = True
    keep: dict[str, Any] = Field(default_factory=dict, description="Fields that go on, as in the step set.")
    name: FieldName = Field("claim", alias="as", description="The field with the reference.")
    keep_for: Duration = Field(7 * 86400.0, gt=0, description="How long the document can be fetched.")
    limit: Size = Field(64 * 1024**2, description="A larger document fails its message.")


class NoClaim(MessageError):  # noqa: N818 - says what is the matter
    """What was left behind is not there (any more)."""

    kind = "claim"


class Claiming(Machine, frozen=True, kw_only=True, tag="claim"):
    """One document that stays behind. The reference is random: who is not given it cannot guess it."""

    keep_for: float
    token: str = ""
    until: float = 0.0

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        mine = self if self.token else msgspec.structs.replace(self, token=memory.token(), until=now + self.keep_for)
        at = msgspec.structs.replace(member.at, go="answer")
        deposit = Deposit(token=mine.token, content=bytes(member.at.document), until=mine.until)
        return Move(machine=mine, nexts=(Next(at=at, answer=_encode(mine.token)),), deposit=deposit)

    @property
    def forgets(self) -> float | None:
        return self.until


class Claim(Kind):
    """Leaves the document in the store; what goes on are the fields in ``keep`` and a reference to it.

    It is there until ``keep_for`` is over, for this flow and for any other.
    """

    kind: ClassVar[str] = "claim"
    summary = "Leave the document behind, and go on with a reference to it."
    Settings = ClaimSettings
    machine = Claiming

    @classmethod
    def sketch(cls, settings: ClaimSettings) -> Sketch:
        return Sketch(", ".join([settings.name, *settings.keep]))

    @classmethod
    def check(cls, settings: ClaimSettings, scope: Scope) -> Scope:
        if settings.keep:
            scope.mapping(InlineMapping(set=settings.keep), ("keep",))
        return scope.unknown()

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: ClaimSettings = step.settings
        fields = context.fields(settings.keep, step) if settings.keep else lambda work: {}
        name, limit, fresh = settings.name, settings.limit, Claiming(keep_for=settings.keep_for)

        def arrive(work: Work) -> Arrival:
            size = len(work.document.body)
            if size > limit:
                raise MessageError(f"the document has {size} bytes, and the limit of the claim check is {limit}")
            fields(work)  # what is wrong with them is wrong before anything is left behind
            return Arrival(machine=fresh, key=f"{work.message.id}/{work.message.epoch}", words=f"leaves {size} bytes")

        def take(work: Work, token: Any) -> None:
            kept = fields(work)
            work.document = Document({**kept, name: token}, work.document.type, 0)

        return holding(step, context, arrive, take)


class FetchSettings(Shorthand):
    """``fetch: claim``, or ``fetch: {claim: reference, as: order}``."""

    waits: ClassVar[bool] = True
    short: ClassVar[str] = "claim"
    claim: str = Field(description="A JSONata expression giving the reference.")
    name: FieldName | None = Field(None, alias="as", description="The field that takes what was left; default: all.")


class Fetching(Machine, frozen=True, kw_only=True, tag="fetch"):
    """Each message by itself."""

    remembers: ClassVar[bool] = False
    reference: str

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        content = memory.claimed(self.reference)
        if content is None:
            raise NoClaim(f"nothing is there for the claim {self.reference!r} (any more)")
        return Move(nexts=(Next(at=msgspec.structs.replace(member.at, go="answer"), answer=content),))


class Fetch(Kind):
    """Takes back what a ``claim`` has left behind: it becomes the document, or a field of it."""

    kind: ClassVar[str] = "fetch"
    summary = "Take back the document that was left behind."
    Settings = FetchSettings
    machine = Fetching

    @classmethod
    def sketch(cls, settings: FetchSettings) -> Sketch:
        return Sketch(settings.claim)

    @classmethod
    def kept(cls, settings: FetchSettings, hidden: Hidden) -> Mask:
        return hidden.any().below(settings.name) if settings.name else hidden.any()

    @classmethod
    def check(cls, settings: FetchSettings, scope: Scope) -> Scope:
        scope.expression(settings.claim, ("claim",))
        return scope.with_fields({settings.name: {"const": None}}) if settings.name else scope.unknown()

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: FetchSettings = step.settings
        claim, name = context.expression(settings.claim, step), settings.name

        def arrive(work: Work) -> Arrival:
            return Arrival(machine=Fetching(reference=key_text(claim(work))), words="fetches")

        def take(work: Work, content: Any) -> None:
            before = work.document
            work.document = Document({**object_of(before), name: content} if name else content, before.type, 0)

        return holding(step, context, arrive, take)
