"""``gather`` (scatter-gather): several systems are asked at once, and their answers become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
from pydantic import Field, model_validator

from esb import ports
from esb.config.components import Hidden, Scope, Step, Steps
from esb.errors import ExpressionError, MessageError
from esb.expression import Data, Expression
from esb.flow.calling import FieldName, object_of
from esb.flow.groups import Left, Machine, Member, Memory, Move, Next
from esb.flow.holding import hold, stay
from esb.flow.legs import Collect, Continuation, leave
from esb.flow.messaging import Recipient, links_of
from esb.flow.result import Call, Failure, StepTrace
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Document, Work
from esb.formats.numbers import decode_json
from esb.masking import Mask
from esb.message import derive_id
from esb.ports import Duration
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

_encode = msgspec.json.Encoder().encode


class Best(ports.Settings):
    """``{lowest: price}`` or ``{highest: score}``: of each answer, what it is judged by."""

    lowest: str | None = Field(None, description="A JSONata expression on an answer; the smallest value wins.")
    highest: str | None = Field(None, description="A JSONata expression on an answer; the largest value wins.")

    @model_validator(mode="after")
    def _one(self) -> Best:
        if (self.lowest is None) == (self.highest is None):
            raise ValueError("say what is best: either {lowest: expression} or {highest: expression}")
        return self


class GatherSettings(ports.Settings):
    """``{ask: [a.quote, b.quote], as: quotes, timeout: 5s}``."""

    waits: ClassVar[bool] = True
    ask: tuple[Recipient, ...] = Field(min_length=1, description="Who is asked, each with a mapping of its own.")
    name: FieldName = Field(alias="as", description="The field of the document that takes the answers.")
    wait_for: Literal["all", "first"] | int = Field(
        "all", description="Which answers are waited for: all, the first, or so many good ones."
    )
    best: Best | None = Field(None, description="Only the best of the answers is kept.")
    timeout: Duration | None = Field(None, description="What has not been answered by then is not waited for.")
    least: int = Field(1, ge=0, description="With fewer good answers the step fails.")
    on_error: Steps = Field(None, description="What happens instead when the step fails; may stand beside it, too.")

    @model_validator(mode="after")
    def _possible(self) -> GatherSettings:
        if self.needed > len(self.ask) or self.least > self.needed:
            raise ValueError(
                "not so many are asked: least must not exceed wait_for, nor that the number of those asked"
            )
        return self

    @property
    def needed(self) -> int:
        """Good answers that end the waiting."""
        return {"all": len(self.ask), "first": 1}.get(str(self.wait_for)) or int(self.wait_for)


class Gathering(Machine, frozen=True, kw_only=True, tag="gather"):
    """Who was asked, and who has answered. Its member 0 is the message itself, the others are the answers."""

    gathers: ClassVar[bool] = True
    names: tuple[str, ...]
    needed: int
    least: int
    single: bool = False
    lowest: str = ""
    highest: str = ""
    timeout: float = 0.0
    good: int = 0
    bad: int = 0
    since: float = 0.0  # when the message was written down; 0: an answer was quicker

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        if late:
            return Move(left=(Left(member=member, fate="answered"),))
        grown = msgspec.structs.replace(self, since=now) if not member.name else self._heard(member)
        if grown.since and (grown.good >= self.needed or grown.size >= len(self.names)):
            return grown._close([*memory.all(), member], "")
        return Move(machine=grown, keeps=1 + self.names.index(member.name) if member.name else 0)

    def strike(self, memory: Memory, now: float) -> Move:
        return self._close(memory.all(), "the time is up")

    def release(self, memory: Memory, now: float) -> Move:
        return self._close(memory.all(), "released")

    @property
    def due(self) -> float | None:
        return self.since + self.timeout if self.since and self.timeout else None

    @property
    def size(self) -> int:
        return self.good + self.bad

    @property
    def waits(self) -> str:
        failed = f", {self.bad} failed" if self.bad else ""
        return f"{self.good} of {self.needed} answers{failed}"

    def _heard(self, member: Member) -> Gathering:
        failed = member.failure is not None
        return msgspec.structs.replace(self, good=self.good + (not failed), bad=self.bad + failed)

    def _close(self, members: Sequence[Member], reason: str) -> Move:
        answers = [member for member in members if member.name and member.failure is None]
        words = f"{len(answers)} of {len(self.names)} answered" + (f": {reason}" if reason else "")
        asker = next(member for member in members if not member.name)
        at = msgspec.structs.replace(asker.at, go="answer")
        at = msgspec.structs.replace(at, steps=[*at.steps, StepTrace(at.step, "gather", words)])
        left = tuple(Left(member=member, fate="answered") for member in members)
        if len(answers) < self.least:
            failure = Failure(kind="too few answers", text=self._text(members, words))
            return Move(machine=self, nexts=(Next(at=at, failure=failure),), left=left, over=words)
        try:
            answer = self._answer(sorted(answers, key=lambda member: self.names.index(member.name)))
        except MessageError as error:
            failure = Failure(kind=error.kind, text=str(error))
            return Move(machine=self, nexts=(Next(at=at, failure=failure),), left=left, over=words)
        return Move(machine=self, nexts=(Next(at=at, answer=answer),), left=left, over=words)

    def _answer(self, answers: Sequence[Member]) -> bytes:
        if self.single:
            chosen = self._best(answers)
            return _told(chosen) if chosen else b"null"
        return b"[" + b",".join(map(_told, answers)) + b"]"

    def _best(self, answers: Sequence[Member]) -> Member | None:
        if not (self.lowest or self.highest):
            return answers[0] if answers else None
        expression = Expression(self.lowest or self.highest)
        judged = [(_value(expression, member), -number) for number, member in enumerate(answers)]
        known = [one for one in judged if one[0] is not None]
        if answers and not known:
            raise ExpressionError(f"`{expression.text}` gives no number for any of the answers")
        if not known:
            return None
        sign = -1 if self.lowest else 1
        return answers[-max(known, key=lambda one: (sign * (one[0] or 0), one[1]))[1]]

    def _text(self, members: Sequence[Member], words: str) -> str:
        failed = [f"{m.name}: {m.failure.kind}: {m.failure.text}" for m in members if m.failure is not None]
        return "; ".join([f"{words}, and {self.least} must", *failed])


def _value(expression: Expression, member: Member) -> float | None:
    value = expression.evaluate(Data(decode_json(bytes(member.at.document))))
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ExpressionError(
            f"`{expression.text}` gives {quote(value)} for the answer of {member.name}, and no number"
        )
    return value


def _told(member: Member) -> bytes:
    return b'{"from":' + _encode(member.name.partition("#")[0]) + b',"answer":' + bytes(member.at.document) + b"}"


class Gather(Kind):
    """Asks several endpoints at once, and goes on with their answers when enough are there or the time is up.

    The document takes ``[{from, answer}]`` under ``as``, in the order in which they are asked; with ``best`` or
    ``wait_for: first`` the one ``{from, answer}``. An answer has met its operation's ``reply`` contract. What fails
    counts as answered, and not as good.
    """

    kind: ClassVar[str] = "gather"
    summary = "Ask several endpoints at once, and go on with their answers."
    Settings = GatherSettings
    machine = Gathering

    @classmethod
    def sketch(cls, settings: GatherSettings) -> Sketch:
        return links_of(settings.ask, answers=True)

    @classmethod
    def kept(cls, settings: GatherSettings, hidden: Hidden) -> Mask:
        answers = (hidden.reply(recipient.to).below("answer").below(settings.name) for recipient in settings.ask)
        return reduce(or_, answers)

    @classmethod
    def check(cls, settings: GatherSettings, scope: Scope) -> Scope:
        for number, recipient in enumerate(settings.ask):
            going = scope if recipient.map is None else scope.mapping(recipient.map, ("ask", number, "map"))
            going.operation(recipient.to, ("ask", number, "to"))
        if settings.best is not None:
            word = "lowest" if settings.best.lowest is not None else "highest"
            scope.unknown().expression(getattr(settings.best, word), ("best", word))
        return scope.with_fields({settings.name: {"const": None}})

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: GatherSettings = step.settings
        return context.waits(step, _ask(step, context), _keep(settings.name), _collect(step))


def _fresh(settings: GatherSettings) -> Gathering:
    best = settings.best or Best.model_construct()
    return Gathering(
        names=tuple(_names(settings.ask)), needed=settings.needed, least=settings.least,
        timeout=settings.timeout or 0.0, single=settings.best is not None or settings.wait_for == "first",
        lowest=best.lowest or "", highest=best.highest or "",
    )  # fmt: skip


def _names(recipients: Sequence[Recipient]) -> list[str]:
    """Who is asked twice is told apart by a number."""
    seen: Counter[str] = Counter()
    names = []
    for recipient in recipients:
        seen[recipient.to] += 1
        names.append(recipient.to + (f"#{seen[recipient.to]}" if seen[recipient.to] > 1 else ""))
    return names


def _ask(step: Step, context: Context) -> Action:
    settings: GatherSettings = step.settings
    names = _names(settings.ask)
    builds = [_build(name, one, step, context) for name, one in zip(names, settings.ask, strict=True)]
    machine = _fresh(settings)
    flow, version, outcome = context.name, context.version, f"asked {', '.join(names)}"

    def run(work: Work) -> bool:
        work.at = step
        object_of(work.document)
        at = leave(work, flow, version, asking=len(names))
        calls = [build(work, at) for build in builds]
        work.trace(outcome, tuple([call.message.id for call in calls]))  # into the steps that ``at`` has, too
        work.calls += calls
        hold(work, machine, stay(at), Member(id=stay(at), at=at))
        return False

    return run


def _build(name: str, recipient: Recipient, step: Step, context: Context) -> Callable[[Work, Continuation], Call]:
    endpoint, operation, contract = context.operation(recipient.to, step)
    convert = None if recipient.map is None else context.mapping(recipient.map, step)
    word, step_name, timeout = f"{step.name}[{name}]", step.name, step.settings.timeout

    def build(work: Work, at: Continuation) -> Call:
        parent = work.message
        document = work.document if convert is None else convert(work)
        message = document.child(parent, derive_id(parent.id, parent.epoch, work.place, word, 0), contract)
        return Call(
            message=message, endpoint=endpoint, operation=operation, step=step_name, owner=parent,
            continuation=msgspec.structs.replace(at, branch=name), timeout=timeout,
        )  # fmt: skip

    return build


def _collect(step: Step) -> Collect:
    machine = _fresh(step.settings)

    def collect(work: Work, answer: Any, failure: Failure | None) -> bool:
        work.at = step
        assert work.base is not None
        at = msgspec.structs.replace(work.base, document=msgspec.Raw(_encode(answer)))
        member = Member(id=stay(at, at.branch), at=at, name=at.branch, failure=failure)
        hold(work, machine, stay(at), member)
        return False

    return collect


def _keep(field: str) -> Callable[[Work, Any], None]:
    def take(work: Work, answer: Any) -> None:
        before = work.document
        work.document = Document({**object_of(before), field: answer}, before.type, 0)

    return take
