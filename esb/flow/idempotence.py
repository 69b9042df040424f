"""``idempotent`` (idempotent receiver): of messages that say the same, only the first goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec
from pydantic import Field

from esb.config.components import Scope, Step
from esb.config.shorthand import Shorthand
from esb.errors import MessageError
from esb.flow.groups import Left, Machine, Member, Memory, Move, Next, goes_back, goes_on, key_text
from esb.flow.holding import Arrival, holding
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Work
from esb.ports import Duration

if TYPE_CHECKING:
    from esb.flow.context import Context


class IdempotentSettings(Shorthand):
    """``idempotent: orderId``, or ``idempotent: {by: orderId, within: 7d, repeat: park}``."""

    waits: ClassVar[bool] = True
    short: ClassVar[str] = "by"
    by: str = Field(description="A JSONata expression: a message with a value that was there is a repeat.")
    within: Duration = Field(30 * 86400.0, gt=0, description="How long a value is remembered.")
    repeat: Literal["drop", "park"] = Field("drop", description="A repeat ends here, or waits for a person.")


class Repeat(MessageError):  # noqa: N818 - says what it is
    """A message like this one went on before."""

    kind = "repeat"


class Once(Machine, frozen=True, kw_only=True, tag="idempotent"):
    """Who came first. That one passes however often it is delivered."""

    within: float
    repeat: str = "drop"
    owner: str = ""
    at: float = 0.0

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        if self.owner and self.owner != member.id and now < self.at + self.within:
            return self._again(member)
        mine = self if self.owner == member.id else msgspec.structs.replace(self, owner=member.id, at=now)
        return Move(machine=mine, nexts=(Next(at=goes_on(member, "the first", "idempotent")),))

    def _again(self, member: Member) -> Move:
        text = f"a repeat of {self.owner}"
        if self.repeat == "drop":
            return Move(left=(Left(member=member, fate="dropped", words=text),))
        return Move(nexts=(Next(at=goes_back(member), error=Repeat(text)),))

    @property
    def forgets(self) -> float | None:
        return self.at + self.within


class Idempotent(Kind):
    """Lets a message go on only if none with the same value has; the value and its owner are kept in the store.

    The owner itself passes again when it is delivered again: what it sends has the same ids, and is recognised.
    """

    kind: ClassVar[str] = "idempotent"
    summary = "Let only the first of equal messages go on."
    Settings = IdempotentSettings
    machine = Once

    @classmethod
    def sketch(cls, settings: IdempotentSettings) -> Sketch:
        return Sketch(settings.by)

    @classmethod
    def check(cls, settings: IdempotentSettings, scope: Scope) -> Scope:
        scope.expression(settings.by, ("by",), shown=True)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: IdempotentSettings = step.settings
        by = context.expression(settings.by, step)
        fresh = Once(within=settings.within, repeat=settings.repeat)

        def arrive(work: Work) -> Arrival:
            key = key_text(by(work))
            return Arrival(machine=fresh, key=key, words=f"asks for {key}")

        return holding(step, context, arrive)
