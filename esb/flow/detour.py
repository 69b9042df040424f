"""The step ``detour``: steps that people switch on and off while the bus runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from esb.config.components import Scope, Step, Steps
from esb.config.shorthand import StepsShorthand
from esb.flow.step import Kind, Sketch, Way
from esb.flow.work import Action, Work

if TYPE_CHECKING:
    from esb.flow.context import Context

TAKEN, PASSED_BY = "taken", "passed by"  # outcomes in the journey


class DetourSettings(StepsShorthand):
    """``detour: steps``, or ``{do: steps, active: true}``."""

    short: ClassVar[str] = "do"
    do: Steps = Field(description="A step or a list of steps, such as checks that are only needed at times.")
    active: bool = Field(False, description="Whether messages go through them until somebody says otherwise.")


class Detour(Kind):
    """Takes messages through its steps while it is switched on; ``esb flows detour`` does that.

    A switch is audited, and holds for what is taken from the queue a second later.
    """

    kind: ClassVar[str] = "detour"
    summary = "Take messages through steps that people switch on and off."
    Settings = DetourSettings

    @classmethod
    def sketch(cls, settings: DetourSettings) -> Sketch:
        text = "on" if settings.active else "off"
        return Sketch(f"{text} at first", ways=(Way(TAKEN, tuple(settings.do)), Way(PASSED_BY, ())))

    @classmethod
    def check(cls, settings: DetourSettings, scope: Scope) -> Scope:
        return scope.either(scope.steps(settings.do, ("do",)))

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        name, at_first, place = step.name, step.settings.active, f"{context.name}/{step.name}"

        def switched(work: Work) -> bool:
            past = work.switches.past.get(name)
            return past[0] == TAKEN if past else work.switches.detours.get(place, at_first)

        is_on, block = context.watched("switched on", switched), context.block(step.settings.do)

        def run(work: Work) -> bool:
            work.at = step
            if is_on(work):
                work.trace(TAKEN)
                return block(work)
            work.trace(PASSED_BY)
            return True

        return run
