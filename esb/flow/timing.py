"""Steps about time: ``delay``, ``throttle`` and ``expire`` (message expiration)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec
from pydantic import Field, model_validator

from esb import ports
from esb.config.components import Scope, Step
from esb.config.shorthand import Shorthand
from esb.errors import ExpressionError, MessageError
from esb.flow.expiry import expiring
from esb.flow.groups import Left, Machine, Member, Memory, Move, Next, goes_back, goes_on, key_text
from esb.flow.holding import Arrival, holding
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Work
from esb.message import rfc3339
from esb.ports import Duration
from esb.quoting import quote
from esb.units import duration_text

if TYPE_CHECKING:
    from esb.flow.context import Context


def _moment(text: str, step: Step, context: Context) -> Callable[[Work], float]:
    """An expression that gives a date and time, as epoch seconds."""
    evaluate = context.expression(text, step)

    def moment(work: Work) -> float:
        value = evaluate(work)
        try:
            when = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            when = None
        if when is None or when.tzinfo is None:
            given = "nothing" if value is None else quote(value)
            raise ExpressionError(f"`{text}` gives {given}: a date and time with its zone is needed") from None
        return when.timestamp()

    return moment


class DelaySettings(Shorthand):
    """``delay: 10m``, or ``delay: {until: pickup_at}``."""

    waits: ClassVar[bool] = True
    short: ClassVar[str] = "for"
    seconds: Duration | None = Field(None, alias="for", description="How long a message waits.")
    until: str | None = Field(None, description="A JSONata expression giving the date and time until which it waits.")

    @model_validator(mode="after")
    def _one(self) -> DelaySettings:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("say how long: either for: 10m, or until: expression")
        return self


class Delaying(Machine, frozen=True, kw_only=True, tag="delay"):
    """Each message by itself."""

    remembers: ClassVar[bool] = False
    seconds: float = 0.0
    until: float = 0.0

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        due = self.until or now + self.seconds
        return Move(nexts=(Next(at=goes_on(member, "goes on", "delay"), due=due),))


class Delay(Kind):
    """Holds each message for some time, or until a moment that it tells; it goes on within a second or so of that."""

    kind: ClassVar[str] = "delay"
    summary = "Let a message wait."
    Settings = DelaySettings
    machine = Delaying

    @classmethod
    def sketch(cls, settings: DelaySettings) -> Sketch:
        return Sketch(duration_text(settings.seconds) if settings.seconds is not None else f"until {settings.until}")

    @classmethod
    def check(cls, settings: DelaySettings, scope: Scope) -> Scope:
        if settings.until is not None:
            scope.expression(settings.until, ("until",))
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: DelaySettings = step.settings
        seconds = settings.seconds or 0.0
        moment = _moment(settings.until, step, context) if settings.until is not None else None

        def arrive(work: Work) -> Arrival:
            if moment is None:
                return Arrival(machine=Delaying(seconds=seconds), words=f"waits for {duration_text(seconds)}")
            when = moment(work)
            return Arrival(machine=Delaying(until=when), words=f"waits until {rfc3339(when)}")

        return holding(step, context, arrive)


class ThrottleSettings(ports.Settings):
    """``throttle: {messages: 10, per: 1s, by: customer}``."""

    waits: ClassVar[bool] = True
    messages: int = Field(ge=1, description="So many messages go on …")
    per: Duration = Field(1.0, gt=0, description="… in this time, at even distances.")
    by: str | None = Field(None, description="A JSONata expression: each value has a limit of its own.")
    longest: Duration | None = Field(None, description="A message that would have to wait longer does not wait.")
    over: Literal["park", "drop"] = Field("park", description="It waits for a person instead, or ends.")


class TooMany(MessageError):  # noqa: N818 - says what is the matter
    """More messages came than may go on, and too many wait already."""

    kind = "throttled"


class Throttling(Machine, frozen=True, kw_only=True, tag="throttle"):
    """The moment at which the next message may go (the virtual scheduling of ITU-T I.371's generic cell rate
    algorithm, without bursts)."""

    distance: float  # seconds between two messages
    longest: float | None = None
    over: str = "park"
    next: float = 0.0

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        due = max(now, self.next)
        if self.longest is not None and due - now > self.longest:
            return self._refuse(member, due - now)
        at = goes_on(member, f"waited {duration_text(round(due - now, 3))}" if due > now else "at once", "throttle")
        return Move(machine=msgspec.structs.replace(self, next=due + self.distance), nexts=(Next(at=at, due=due),))

    def _refuse(self, member: Member, wait: float) -> Move:
        text = f"it would have to wait for {duration_text(round(wait, 3))}"
        if self.over == "drop":
            return Move(left=(Left(member=member, fate="dropped", words=f"dropped: {text}"),))
        return Move(nexts=(Next(at=goes_back(member), error=TooMany(text)),))

    def meet(self, fresh: Machine) -> Machine:
        """It goes by the rate in force, not by that of the time when it began."""
        assert isinstance(fresh, Throttling)
        return msgspec.structs.replace(fresh, next=self.next)

    @property
    def forgets(self) -> float | None:
        return self.next + self.distance


class Throttle(Kind):
    """Lets only so many messages go on in a time, whatever number of processes runs the flow; the others wait.

    ``esb flows throttle`` sets another rate while the bus runs.
    """

    kind: ClassVar[str] = "throttle"
    summary = "Let only so many messages go on in a time."
    Settings = ThrottleSettings
    machine = Throttling

    @classmethod
    def sketch(cls, settings: ThrottleSettings) -> Sketch:
        by = f" by {settings.by}" if settings.by else ""
        return Sketch(f"{settings.messages} in {duration_text(settings.per)}{by}")

    @classmethod
    def check(cls, settings: ThrottleSettings, scope: Scope) -> Scope:
        if settings.by is not None:
            scope.expression(settings.by, ("by",), shown=True)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: ThrottleSettings = step.settings
        fresh = Throttling(distance=settings.per / settings.messages, longest=settings.longest, over=settings.over)
        by = context.expression(settings.by, step) if settings.by else None
        place = f"{context.name}/{step.name}"

        def arrive(work: Work) -> Arrival:
            rate = work.switches.rates.get(place)
            machine = fresh if rate is None else msgspec.structs.replace(fresh, distance=rate.distance)
            return Arrival(machine=machine, key=key_text(by(work)) if by else "all", words="takes its turn")

        return holding(step, context, arrive)


class ExpireSettings(Shorthand):
    """``expire: 10m``, or ``expire: {at: valid_until, then: drop}``."""

    short: ClassVar[str] = "after"
    after: Duration | None = Field(None, description="So long after the message's time it is worth nothing any more.")
    at: str | None = Field(None, description="A JSONata expression giving the date and time of that.")
    then: Literal["park", "drop"] = Field("park", description="What is too late waits for a person, or ends.")

    @model_validator(mode="after")
    def _one(self) -> ExpireSettings:
        if (self.after is None) == (self.at is None):
            raise ValueError("say when: either after: 10m, or at: expression")
        return self


class Expire(Kind):
    """Says until when the message is of use, and all that comes of it.

    That is looked at where time passes: before anything is sent to an endpoint, and at the steps where messages wait.
    """

    kind: ClassVar[str] = "expire"
    summary = "Say until when a message is of use."
    Settings = ExpireSettings

    @classmethod
    def sketch(cls, settings: ExpireSettings) -> Sketch:
        return Sketch(f"after {duration_text(settings.after)}" if settings.after is not None else f"at {settings.at}")

    @classmethod
    def check(cls, settings: ExpireSettings, scope: Scope) -> Scope:
        if settings.at is not None:
            scope.expression(settings.at, ("at",))
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: ExpireSettings = step.settings
        moment = _moment(settings.at, step, context) if settings.at is not None else _after(settings.after or 0.0)
        then = settings.then

        def run(work: Work) -> bool:
            work.at = step
            when = moment(work)
            work.become(expiring(work.message, when, then))
            work.trace(f"of use until {rfc3339(when)}")
            return True

        return run


def _after(seconds: float) -> Callable[[Work], float]:
    return lambda work: work.message.time + seconds
