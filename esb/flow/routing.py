"""Steps that decide where a message goes on: ``filter``, ``choose`` (content-based router) and ``split`` (splitter)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from pydantic import ConfigDict, Field, RootModel, model_validator

from esb import ports
from esb.config.components import Hidden, Scope, Step, Steps
from esb.config.shorthand import Shorthand
from esb.errors import MessageError
from esb.flow.legs import calls
from esb.flow.result import ChildFailure
from esb.flow.run import located
from esb.flow.sequence import Place, numbered
from esb.flow.step import Kind, Link, Sketch, Way
from esb.flow.work import Action, Document, Work
from esb.masking import Mask
from esb.message import child_of, derive_id
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context


OTHERWISE, NO_BRANCH = "otherwise", "no branch"  # outcomes of a choice in the journey
PASSED, FILTERED = "passed", "filtered"  # and of a filter


class FilterSettings(Shorthand):
    """``filter: expression`` or ``filter: {when: expression}``."""

    short: ClassVar[str] = "when"
    when: str = Field(description="A JSONata expression; the message goes on where it is true.")


class Filter(Kind):
    """Lets a message pass when its condition is true; otherwise it ends here. What was sent before stays sent."""

    kind: ClassVar[str] = "filter"
    summary = "Let only some messages pass."
    Settings = FilterSettings

    @classmethod
    def sketch(cls, settings: FilterSettings) -> Sketch:
        return Sketch(settings.when, links=(Link("end", FILTERED),))

    @classmethod
    def outcomes(cls, settings: FilterSettings) -> tuple[str, ...]:
        return PASSED, FILTERED

    @classmethod
    def check(cls, settings: FilterSettings, scope: Scope) -> Scope:
        scope.expression(settings.when, ("when",), boolean=True)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        holds = context.condition(step.settings.when, step)

        def run(work: Work) -> bool:
            work.at = step
            passes = holds(work)
            work.trace(PASSED if passes else FILTERED)
            return passes

        return run


class Branch(ports.Settings):
    """``{when: expression, do: steps}``, or at the end ``{otherwise: steps}``."""

    when: str | None = Field(None, description="A JSONata expression; the first branch where it is true is taken.")
    do: Steps = Field(None, description="A step or a list of steps.")
    otherwise: Steps = Field(None, description="A step or a list of steps for what no branch took.")

    @model_validator(mode="after")
    def _one_form(self) -> Branch:
        given = (self.when is not None, self.do is not None, self.otherwise is not None)
        if given not in {(True, True, False), (False, False, True)}:
            raise ValueError("a branch is {when: expression, do: steps}, or at the end {otherwise: steps}")
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """Of either form."""
        return self.otherwise if self.when is None else self.do


class ChooseSettings(RootModel[tuple[Branch, ...]]):
    """A list of branches."""

    model_config = ConfigDict(frozen=True)
    root: tuple[Branch, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _otherwise_last(self) -> ChooseSettings:
        if any(branch.when is None for branch in self.root[:-1]):
            raise ValueError("otherwise stands at the end: no branch behind it could ever be taken")
        return self


class Choose(Kind):
    """Takes the first branch whose condition is true; its document goes on behind the step.

    Where no branch matches and there is no ``otherwise``, the message goes on unchanged, and the trace says so.
    """

    kind: ClassVar[str] = "choose"
    summary = "Take one of several ways."
    Settings = ChooseSettings

    @classmethod
    def sketch(cls, settings: ChooseSettings) -> Sketch:
        ways = tuple(Way(branch.when or OTHERWISE, branch.steps) for branch in settings.root)
        return Sketch(ways=ways if settings.root[-1].when is None else (*ways, Way(NO_BRANCH, ())))

    @classmethod
    def check(cls, settings: ChooseSettings, scope: Scope) -> Scope:
        behind = [cls._branch(number, branch, scope) for number, branch in enumerate(settings.root)]
        if settings.root[-1].when is not None:
            behind.append(scope)
        return reduce(lambda one, other: one.either(other), behind)

    @classmethod
    def _branch(cls, number: int, branch: Branch, scope: Scope) -> Scope:
        if branch.when is not None:
            scope.expression(branch.when, (number, "when"), boolean=True)
        behind = scope.steps(branch.steps, (number, "otherwise" if branch.when is None else "do"))
        return scope.unknown() if any(Split.takes_rest(step) for step in branch.steps) else behind

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        branches: Sequence[Branch] = step.settings.root
        ways = [
            (context.condition(b.when, step), context.block(b.steps), b.when) for b in branches if b.when is not None
        ]
        otherwise = context.block(branches[-1].steps) if branches[-1].when is None else None

        def run(work: Work) -> bool:
            work.at = step
            for holds, block, when in ways:
                if holds(work):
                    work.trace(when)
                    return block(work)
            work.trace(OTHERWISE if otherwise else NO_BRANCH)
            return otherwise(work) if otherwise else True

        return run


NOT_TOGETHER = (
    "Parts that wait for answers end at different times, so it cannot be all or none: remove 'together', or call "
    "before the split."
)


class SplitSettings(Shorthand):
    """``split: expression`` or ``split: {each: expression, batch: 100, do: steps, together: true}``."""

    short: ClassVar[str] = "each"
    each: str = Field(description="A JSONata expression giving the parts; a single value is one part, nothing is none.")
    batch: int | None = Field(
        None, ge=1, description="So many neighbours go into one part, and the rest into the last."
    )
    lines: str = Field("lines", min_length=1, description="With batch: where they go in the part's document.")
    do: Steps = Field(None, description="What happens to each part; without it, all the steps behind this one.")
    together: bool = Field(False, description="All parts or none: one that fails fails the whole message.")
    sequence: bool = Field(
        False, description="Each part tells in its headers which of how many it is (Message Sequence)."
    )

    @model_validator(mode="after")
    def _lines_of_a_batch(self) -> SplitSettings:
        if self.batch is None and "lines" in self.model_fields_set:
            raise ValueError("lines names where a batch goes: say batch, too, or remove it")
        return self


class Split(Kind):
    """Makes a message of its own of each part and runs it through the body; behind the body the undivided one goes on.

    The body is ``do``, or without it the rest of the list that the step stands in. A part's id derives from its
    message, the step's name and its position, and what it sends derives from the part. Parts are independent: one that
    fails is parked by itself, and a retry goes on in the body. A ``filter`` in the body filters the part.
    """

    kind: ClassVar[str] = "split"
    summary = "Make several messages of one."
    Settings = SplitSettings

    @staticmethod
    def takes_rest(step: Step) -> bool:
        """Whether the steps behind it are its body."""
        return step.kind == Split.kind and step.settings.do is None

    @classmethod
    def sketch(cls, settings: SplitSettings) -> Sketch:
        each = "each" if settings.batch is None else f"each {settings.batch}"
        return Sketch(settings.each, body=Way(f"{each} of {settings.each}", tuple(settings.do or ())))

    @classmethod
    def kept(cls, settings: SplitSettings, hidden: Hidden) -> Mask:
        inside = hidden.inside(settings.each)
        return inside.below(settings.lines) if settings.batch else inside

    @classmethod
    def check(cls, settings: SplitSettings, scope: Scope) -> Scope:
        scope.expression(settings.each, ("each",))
        if settings.together and calls(settings.do):
            scope.finding(("together",), "unsupported", NOT_TOGETHER)
        inside = scope.element(settings.each, settings.lines if settings.batch else None)
        if settings.do is None:
            return inside
        inside.steps(settings.do, ("do",))
        return scope

    @classmethod
    def overtaking(cls, settings: SplitSettings) -> str:
        return "" if settings.together else "a part that fails is parked by itself: say together: true"

    @classmethod
    def absorb(cls, step: Step, rest: Sequence[Step]) -> Step | None:
        if not cls.takes_rest(step):
            return None
        return msgspec.structs.replace(step, settings=step.settings.model_copy(update={"do": tuple(rest)}))

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: SplitSettings = step.settings
        each = context.expression(settings.each, step)
        body = context.part(step, settings.do)
        take = _take_together if settings.together else _take
        values = partial(_batches, settings.batch, settings.lines) if settings.batch else _listed
        place, flow, sequence = context.place, context.name, settings.sequence

        def run(work: Work) -> bool:
            work.at = step
            mark = len(work.steps)
            parts = [_part(work, place, number, value) for number, value in enumerate(values(each(work)))]
            if sequence:
                _number(parts, work.message.id)
            failed = [part for part in parts if not take(work, part, body, flow)]
            outcome = f"{len(parts)} parts" + (f", {len(failed)} failed" if failed else "")
            work.trace(outcome, tuple(part.part for part in parts))
            work.steps.insert(mark, work.steps.pop())  # in the journey the step stands before its parts
            return True

        return run


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else () if value is None else (value,)


def _batches(size: int, lines: str, value: Any) -> Sequence[Any]:
    every = _listed(value)
    return [{lines: list(every[start : start + size])} for start in range(0, len(every), size)]


def _part(work: Work, place: str, number: int, value: Any) -> Work:
    document = Document(value, work.document.type, 0)
    message = work.message
    id = derive_id(message.id, message.epoch, work.place, work.at.name, number)
    child = child_of(message, id, document.type, 0, message.subject, document.body)
    part = Work(child, work.at, work.steps, place, work.switches, id)  # a retry runs it by itself, in no round
    part.document = document
    return part


def _number(parts: Sequence[Work], whole: str) -> None:
    for number, part in enumerate(parts, 1):
        part.become(numbered(part.message, Place(whole, number, len(parts))))


def _take(work: Work, part: Work, body: Action, flow: str) -> bool:
    """Run one part; what it gives joins its message's, or its failure does."""
    split = part.at
    try:
        body(part)
    except Exception as cause:
        error = located(cause, flow, part.at)
        part.trace(f"failed: {error.kind}")
        work.failures.append(ChildFailure(message=part.message, split=split.name, step=part.at.name, error=error))
        return False
    _join(work, part)
    return True


def _take_together(work: Work, part: Work, body: Action, flow: str) -> bool:
    """Run one part; its failure, or that of a part of its own, is its message's."""
    try:
        body(part)
    except Exception as cause:
        work.at = part.at
        raise located(cause, flow, part.at) from cause
    if part.failures:
        raise MessageError(f"a part within a part failed: {quote(str(part.failures[0].error), 500)}")
    _join(work, part)
    return True


def _join(work: Work, part: Work) -> None:
    work.sends += part.sends
    work.calls += part.calls
    work.holds += part.holds
    work.controls += part.controls
    work.events += part.events
    work.failures += part.failures
