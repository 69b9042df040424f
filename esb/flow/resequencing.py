"""``resequence`` (resequencer): messages go on in the order of their numbers, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec
from pydantic import Field, model_validator

from esb.config.components import Scope, Step
from esb.config.shorthand import Shorthand
from esb.flow.groups import Late, Left, Machine, Member, Memory, Move, Next, goes_back, goes_on, key_text, whole_number
from esb.flow.holding import Arrival, holding
from esb.flow.result import Ticket
from esb.flow.sequence import place_of
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Work
from esb.ports import Duration

if TYPE_CHECKING:
    from esb.flow.context import Context

Span = tuple[int, int]  # first and last number


class ResequenceSettings(Shorthand):
    """``resequence: {number: number, by: customer, timeout: 1m}``; with ``parts: true`` for the parts of one split."""

    waits: ClassVar[bool] = True
    short: ClassVar[str] = "number"
    number: str | None = Field(None, description="A JSONata expression giving a whole number: the message's place.")
    by: str | None = Field(None, description="A JSONata expression: each value has a sequence of its own.")
    parts: bool = Field(False, description="Each split with sequence: true is a sequence of its own.")
    start: int = Field(1, description="The number that a sequence begins with.")
    timeout: Duration | None = Field(
        None, description="How long a missing number is waited for; without it, until a person goes on without it."
    )
    late: Literal["park", "drop", "pass"] = Field(
        "park",
        description="A message that comes behind its turn, or with a number that was there: it waits for a person, "
        "ends, or goes on out of order.",
    )
    limit: int = Field(10_000, ge=1, description="With more messages behind a missing number it is not waited for.")

    @model_validator(mode="after")
    def _numbered(self) -> ResequenceSettings:
        if self.parts == (self.number is not None):
            raise ValueError("say what numbers the messages: either number: expression, or parts: true")
        if self.parts and self.by is not None:
            raise ValueError("with parts: true each split is a sequence of its own: remove by")
        return self


class Sequencing(Machine, frozen=True, kw_only=True, tag="resequence"):
    """A sequence: which number is next, and which are here.

    One message at a time is let go, the next when that one has gone through its flow: nothing that happens on the way
    (a redelivery, another process) can change their order.
    """

    gathers: ClassVar[bool] = True
    step: str
    key: str
    next: int
    last: int | None = None  # of a sequence that ends
    timeout: float = 0.0  # 0: a gap is waited for without end
    late: str = "park"
    limit: int
    held: tuple[Span, ...] = ()  # in order, with gaps between
    under_way: int | None = None
    since: float = 0.0  # when the gap in front began; 0: there is none

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        number = member.number
        assert number is not None
        ended = late and self.last is not None
        if ended or number < self.next or number == self.under_way or self._has(number):
            return self._late(member, number)
        if number == self.next and self.under_way is None:
            return self._let_go(member, now)
        grown = msgspec.structs.replace(self, held=_with(self.held, number))._gap(now)
        if grown.since and grown.size > self.limit:
            if grown.held[0][0] == number:
                return msgspec.structs.replace(self, next=number)._let_go(member, now)
            return msgspec.structs.replace(grown._go(memory, now), keeps=number)
        return Move(machine=grown, keeps=number)

    def strike(self, memory: Memory, now: float) -> Move:
        return self._go(memory, now) if self.since else Move(machine=self)

    def release(self, memory: Memory, now: float) -> Move:
        behind = self.next if self.under_way is None else self.under_way + 1
        return msgspec.structs.replace(self, under_way=None, next=behind)._go(memory, now)

    def through(self, number: int, memory: Memory, now: float) -> Move:
        if number != self.under_way:
            return Move()
        after = msgspec.structs.replace(self, under_way=None, next=number + 1)
        if self.last is not None and number >= self.last:
            return Move(machine=after, over="complete")
        if after.held and after.held[0][0] == after.next:
            return after._go(memory, now)
        return Move(machine=after._gap(now))

    @property
    def due(self) -> float | None:
        return self.since + self.timeout if self.since and self.timeout else None

    @property
    def size(self) -> int:
        return sum(last - first + 1 for first, last in self.held)

    @property
    def waits(self) -> str:
        if self.under_way is not None:
            return f"number {self.under_way} to get through"
        return f"number {self.next}" if self.held else ""

    def _go(self, memory: Memory, now: float) -> Move:
        """The lowest that is here goes, whatever is missing in front of it."""
        if not self.held:
            return Move(machine=self._gap(now))
        (first, last), *rest = self.held
        held = ((first + 1, last), *rest) if first < last else tuple(rest)
        member = memory.at(first)
        move = msgspec.structs.replace(self, held=held, next=first)._let_go(member, now)
        return msgspec.structs.replace(move, left=(Left(member=member, fate="gone"),))

    def _let_go(self, member: Member, now: float) -> Move:
        ticket = Ticket(self.step, self.key, self.next)
        at = goes_on(member, f"number {self.next} goes on", "resequence", behind=[*member.at.behind, ticket])
        machine = msgspec.structs.replace(self, under_way=self.next, since=0.0)
        return Move(machine=machine, nexts=(Next(at=at),))

    def _gap(self, now: float) -> Sequencing:
        waiting = bool(self.held) and self.under_way is None
        return msgspec.structs.replace(self, since=(self.since or now) if waiting else 0.0)

    def _has(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.held)

    def _late(self, member: Member, number: int) -> Move:
        text = f"number {number} came when {self.next} was next"
        if self.late == "pass":
            return Move(nexts=(Next(at=goes_on(member, text, "resequence")),))
        if self.late == "drop":
            return Move(left=(Left(member=member, fate="dropped", words=f"dropped: {text}"),))
        return Move(nexts=(Next(at=goes_back(member), error=Late(text)),))


def _with(held: tuple[Span, ...], number: int) -> tuple[Span, ...]:
    """The spans with one number more."""
    spans: list[Span] = []
    for first, last in sorted([*held, (number, number)]):
        if spans and first == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return tuple(spans)


class Resequence(Kind):
    """Holds messages that come too early, and lets each go when those before it have gone through the flow.

    So what they send lies in the queues in their order, whatever dies in between. A failed message that is set aside
    has gone through: it holds up no other. Calls behind the step are waited for.
    """

    kind: ClassVar[str] = "resequence"
    summary = "Bring messages back into their order."
    Settings = ResequenceSettings
    machine = Sequencing

    @classmethod
    def sketch(cls, settings: ResequenceSettings) -> Sketch:
        by = f" by {settings.by}" if settings.by else ""
        return Sketch(f"{settings.number}{by}" if settings.number else "parts of one split")

    @classmethod
    def check(cls, settings: ResequenceSettings, scope: Scope) -> Scope:
        if settings.number is not None:
            scope.expression(settings.number, ("number",))
        if settings.by is not None:
            scope.expression(settings.by, ("by",), shown=True)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: ResequenceSettings = step.settings
        fresh = Sequencing(
            step=step.name, key="", next=settings.start, timeout=settings.timeout or 0.0, late=settings.late,
            limit=settings.limit,
        )  # fmt: skip
        return holding(step, context, _of_parts(fresh) if settings.parts else _of_number(fresh, step, context))


def _of_parts(fresh: Sequencing) -> Callable[[Work], Arrival]:
    def arrive(work: Work) -> Arrival:
        place = place_of(work.message)
        machine = msgspec.structs.replace(fresh, key=key_text(place.id), next=1, last=place.size)
        return Arrival(machine=machine, key=machine.key, number=place.number, words=f"number {place.number} came")

    return arrive


def _of_number(fresh: Sequencing, step: Step, context: Context) -> Callable[[Work], Arrival]:
    number = context.expression(step.settings.number, step)
    by = context.expression(step.settings.by, step) if step.settings.by else None

    def arrive(work: Work) -> Arrival:
        place = whole_number(number(work), "the number")
        key = key_text(by(work)) if by else "all"
        machine = msgspec.structs.replace(fresh, key=key)
        return Arrival(machine=machine, key=key, number=place, words=f"number {place} came")

    return arrive
