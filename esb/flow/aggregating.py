"""``aggregate`` (aggregator): messages that belong together become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec
from pydantic import Field, model_validator

from esb.config.components import Hidden, Scope, Step
from esb.config.shorthand import Shorthand
from esb.errors import ExpressionError
from esb.expression import Data, Expression
from esb.flow.groups import (
    Late,
    Left,
    Machine,
    Member,
    Memory,
    Move,
    Next,
    common_subject,
    goes_back,
    group_id,
    key_text,
    merged,
    whole_number,
)
from esb.flow.holding import Arrival, holding
from esb.flow.sequence import place_of, without_sequence
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Work
from esb.formats.numbers import decode_json
from esb.masking import Mask
from esb.ports import Duration
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

_encode = msgspec.json.Encoder().encode


class Incomplete(Late):
    """The time is up, and not all that belong together are there."""

    kind = "incomplete"


class AggregateSettings(Shorthand):
    """``aggregate: {by: orderId, size: 3}``; with ``parts: true`` for the parts of one split."""

    waits: ClassVar[bool] = True
    short: ClassVar[str] = "by"
    by: str | None = Field(None, description="A JSONata expression: messages with the same value belong together.")
    parts: bool = Field(
        False, description="The parts of one split with sequence: true belong together, in their order, all of them."
    )
    size: int | str | None = Field(
        None, description="How many complete a group; or an expression, where one of them tells."
    )
    when: str | None = Field(
        None, description="A JSONata expression on {key, size, members}: the group is complete when it is true."
    )
    timeout: Duration | None = Field(None, description="A group ends this long after its first message.")
    idle: Duration | None = Field(None, description="A group ends this long after its latest message.")
    limit: int = Field(10_000, ge=1, description="A group ends with this many messages, complete or not.")
    incomplete: Literal["release", "park", "drop"] = Field(
        "release", description="A group whose time is up: it goes on as it is, waits for a person, or ends."
    )
    late: Literal["new", "park", "drop"] = Field(
        "new", description="A message whose group has ended: it begins another, waits for a person, ends."
    )

    @model_validator(mode="after")
    def _ends(self) -> AggregateSettings:
        if self.parts == (self.by is not None):
            raise ValueError("say what belongs together: either by: expression, or parts: true")
        if self.parts and self.size is not None:
            raise ValueError("with parts: true the split tells how many belong together: remove size")
        if not self.parts and not (self.size or self.when or self.timeout or self.idle):
            raise ValueError("say when a group is complete: with size, when, timeout or idle")
        return self


class Aggregation(Machine, frozen=True, kw_only=True, tag="aggregate"):
    """A group on its way to one message."""

    gathers: ClassVar[bool] = True
    key: str
    expected: int = 0  # 0: nobody has told
    when: str = ""
    timeout: float = 0.0  # 0: none, as for idle
    idle: float = 0.0
    limit: int
    incomplete: str = "release"
    late: str = "new"
    count: int = 0
    since: float = 0.0
    latest: float = 0.0

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        if late and self.late != "new":
            return self._late(member)
        grown = msgspec.structs.replace(
            self, expected=member.number or self.expected, count=self.count + 1, since=self.since or now, latest=now
        )
        reason = grown._complete(member, memory)
        if reason:
            return grown._close([*memory.all(), member], reason)
        return Move(machine=grown, keeps=member.position or grown.count)

    def strike(self, memory: Memory, now: float) -> Move:
        members = memory.all()
        if self.incomplete == "drop":
            words = f"dropped: {self.waits}"
            left = tuple(Left(member=member, fate="dropped", words=words) for member in members)
            return Move(machine=self, left=left, over="time is up, dropped")
        if self.incomplete == "park":
            return self._close(members, "time is up", Incomplete(f"the time is up for {self.key}: {self.waits}"))
        return self._close(members, "time is up")

    def release(self, memory: Memory, now: float) -> Move:
        return self._close(memory.all(), "released")

    @property
    def due(self) -> float | None:
        times = [self.since + self.timeout] if self.timeout else []
        times += [self.latest + self.idle] if self.idle else []
        return min(times, default=None)

    @property
    def size(self) -> int:
        return self.count

    @property
    def waits(self) -> str:
        if self.expected:
            return f"{self.count} of {self.expected} are there"
        return f"{self.count} so far" + (f", until {self.when}" if self.when else "")

    def _complete(self, member: Member, memory: Memory) -> str:
        if self.expected and self.count >= self.expected:
            return "complete"
        if self.when and self._holds([*memory.all(), member]):
            return "complete"
        return "full" if self.count >= self.limit else ""

    def _holds(self, members: Sequence[Member]) -> bool:
        document = decode_json(self._document(members, ""))
        value = Expression(self.when).evaluate(Data(document))
        if value is True or value is False:
            return value
        given = "nothing" if value is None else quote(value)
        raise ExpressionError(f"the condition `{self.when}` gives {given}: it must be true or false")

    def _close(self, members: Sequence[Member], reason: str, error: Incomplete | None = None) -> Move:
        members = sorted(members, key=lambda member: member.position or 0)  # parts; others as they came
        first, at = members[0], members[0].at
        words = f"{len(members)} of {self.key}: {reason}"
        document = self._document(members, reason)
        first = msgspec.structs.replace(first, at=msgspec.structs.replace(at, message=without_sequence(at.message)))
        subject = common_subject(members, self.key)
        id = group_id(members[0], at.step)
        onward, left = merged([first, *members[1:]], id, document, words, "aggregate", subject)
        return Move(machine=self, left=left, nexts=(Next(at=onward, error=error),), over=reason)

    def _document(self, members: Sequence[Member], reason: str) -> bytes:
        """Put together of what is there, so that nothing is decoded and no number changes."""
        head = {"key": self.key, "size": len(members), "complete": reason == "complete", "reason": reason}
        bodies = b",".join([bytes(member.at.document) for member in members])
        return _encode(head)[:-1] + b',"members":[' + bodies + b"]}"

    def _late(self, member: Member) -> Move:
        text = f"the group {self.key} had ended when it came"
        if self.late == "drop":
            return Move(left=(Left(member=member, fate="dropped", words=f"dropped: {text}"),))
        return Move(nexts=(Next(at=goes_back(member), error=Late(text)),))


class Aggregate(Kind):
    """Holds messages that belong together until all are there, and goes on with one message made of them.

    Its document is ``{key, size, complete, reason, members}``: ``members`` are their documents in the order they came
    (parts in that of the split), ``reason`` says why the group ended. Each message counts once, whatever is delivered
    twice. What was sent before the step stays sent.
    """

    kind: ClassVar[str] = "aggregate"
    summary = "Make one message of those that belong together."
    Settings = AggregateSettings
    machine = Aggregation

    @classmethod
    def sketch(cls, settings: AggregateSettings) -> Sketch:
        return Sketch(f"by {settings.by}" if settings.by else "parts of one split")

    @classmethod
    def kept(cls, settings: AggregateSettings, hidden: Hidden) -> Mask:
        return hidden.any().below("members")

    @classmethod
    def check(cls, settings: AggregateSettings, scope: Scope) -> Scope:
        if settings.by is not None:
            scope.expression(settings.by, ("by",), shown=True)
        if isinstance(settings.size, str):
            scope.expression(settings.size, ("size",))
        if settings.when is not None:
            scope.unknown().expression(settings.when, ("when",), boolean=True)
        return scope.unknown()

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: AggregateSettings = step.settings
        fresh = Aggregation(
            key="", when=settings.when or "", timeout=settings.timeout or 0.0, idle=settings.idle or 0.0,
            limit=settings.limit, incomplete=settings.incomplete, late=settings.late,
        )  # fmt: skip
        return holding(step, context, _of_parts(fresh) if settings.parts else _of_key(fresh, step, context))


def _of_parts(fresh: Aggregation) -> Callable[[Work], Arrival]:
    def arrive(work: Work) -> Arrival:
        place = place_of(work.message)
        machine = msgspec.structs.replace(fresh, key=key_text(place.id))
        words = f"part {place.number} of {place.size}"
        return Arrival(machine=machine, key=machine.key, number=place.size, position=place.number, words=words)

    return arrive


def _of_key(fresh: Aggregation, step: Step, context: Context) -> Callable[[Work], Arrival]:
    by, size = context.expression(step.settings.by, step), step.settings.size
    told = context.expression(size, step) if isinstance(size, str) else None

    def arrive(work: Work) -> Arrival:
        key = key_text(by(work))
        number = told(work) if told else size
        count = None if number is None else whole_number(number, "the size")
        return Arrival(machine=msgspec.structs.replace(fresh, key=key), key=key, number=count, words=f"waits as {key}")

    return arrive
