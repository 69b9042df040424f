"""Steps that run steps again, or in an order that the message brings: ``loop`` and ``slip`` (Routing Slip).

Each time through a body is a round. Its number enters the ids of what is sent in it, and it travels with the message
where a call in the body waits for its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from esb import ports
from esb.config.components import Scope, Step, Steps
from esb.errors import MessageError, RoutingError
from esb.flow.step import Kind, Sketch, Way
from esb.flow.words import Words, words_of
from esb.flow.work import Action, Round, Work
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

_Next = Callable[["Work", "Round | None"], "Round | None"]  # the last round, or None before the first -> the next


class LoopSettings(ports.Settings):
    """``loop: {while: expression, most: 10, do: steps}``."""

    condition: str = Field(alias="while", description="A JSONata expression, asked before each round.")
    most: int = Field(ge=1, le=1000, description="The message fails where it is still true after so many rounds.")
    do: Steps = Field(description="A step or a list of steps.")


class Loop(Kind):
    """Runs its steps as long as a condition is true; each round goes on with the document of the one before.

    ``most`` bounds it, so that no message runs for ever. What is sent in a round has an id of its own.
    """

    kind: ClassVar[str] = "loop"
    summary = "Run steps again while a condition is true."
    Settings = LoopSettings

    @classmethod
    def sketch(cls, settings: LoopSettings) -> Sketch:
        text = f"while {settings.condition}"
        return Sketch(text, ways=(Way(text, tuple(settings.do)), Way("ended", ())))

    @classmethod
    def outcomes(cls, settings: LoopSettings) -> tuple[str, ...]:
        return ()

    @classmethod
    def check(cls, settings: LoopSettings, scope: Scope) -> Scope:
        behind = scope.either(scope.steps(settings.do, ("do",)))
        behind.expression(settings.condition, ("while",), boolean=True)
        return behind

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: LoopSettings = step.settings
        holds = context.condition(settings.condition, step)
        most, text = settings.most, settings.condition

        def following(work: Work, last: Round | None) -> Round | None:
            number = last.number + 1 if last else 0
            if not holds(work):
                work.trace(f"ended after {number} rounds")
                return None
            if number == most:
                raise MessageError(f"the loop would go on after {most} rounds: `{text}` is still true")
            work.trace(f"round {number + 1}")
            return Round(step.name, number)

        return _rounds(step, context, {"": settings.do}, following)


class SlipSettings(ports.Settings):
    """``slip: {by: expression, among: {word: steps, …}}``."""

    by: str = Field(description="A JSONata expression giving the words in order: a list, or text with commas.")
    among: Mapping[str, Steps] = Field(min_length=1, description="The steps that each word stands for.")


class Slip(Kind):
    """Runs the steps that a list of words names, in the order of the list; a word may come more than once.

    The list is read once, at the beginning. A word that is not among those stated fails the message before anything
    is done.
    """

    kind: ClassVar[str] = "slip"
    summary = "Run stated steps in the order that the message brings."
    Settings = SlipSettings

    @classmethod
    def sketch(cls, settings: SlipSettings) -> Sketch:
        return Sketch(settings.by, ways=tuple(Way(word, tuple(steps)) for word, steps in settings.among.items()))

    @classmethod
    def check(cls, settings: SlipSettings, scope: Scope) -> Scope:
        scope.expression(settings.by, ("by",))
        anywhere = scope
        for word, steps in settings.among.items():
            anywhere = anywhere.either(scope.steps(steps, ("among", word)))
        return anywhere

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: SlipSettings = step.settings
        among, list_of = settings.among, context.expression(settings.by, step)

        def following(work: Work, last: Round | None) -> Round | None:
            left = last.left if last else _known(words_of(list_of(work), settings.by), among)
            if not left:
                work.trace("done" if last else "nothing to do")
                return None
            work.trace(left[0])
            return Round(step.name, last.number + 1 if last else 0, left[0], left[1:])

        return _rounds(step, context, among, following)


def _known(words: Words, among: Mapping[str, Any]) -> Words:
    unknown = [word for word in words if word not in among]
    if unknown:
        raise RoutingError(f"{quote(unknown[0])} is on the slip, and there are only {', '.join(among)}")
    return words


def _rounds(step: Step, context: Context, bodies: Mapping[str, Sequence[Step]], following: _Next) -> Action:
    """Round after round, as ``following`` says. ``again`` takes over where a round ended behind a call's answer."""
    depth = context.depth
    ways: dict[str, Action] = {}

    def go(work: Work, last: Round | None) -> bool:
        while True:
            work.at = step
            current = following(work, last)
            work.turn(work.rounds[:depth] if current is None else (*work.rounds[:depth], current))
            if current is None:
                return True
            if not ways[current.way](work):
                return False
            last = current

    def run(work: Work) -> bool:
        return go(work, None)

    def again(work: Work) -> bool:
        return go(work, work.rounds[depth])

    ways |= {word: context.round(steps, again) for word, steps in bodies.items()}
    return run
