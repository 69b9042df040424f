"""The step ``try``: one answer to whatever fails among several steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from esb.config.components import Scope, Step, Steps
from esb.config.shorthand import StepsShorthand
from esb.flow.step import Kind, Sketch, Way
from esb.flow.work import Action, Work

if TYPE_CHECKING:
    from esb.flow.context import Context


class TrySettings(StepsShorthand):
    """``try: steps`` with ``catch: steps`` beside it, or ``{do: steps, catch: steps}``."""

    short: ClassVar[str] = "do"
    do: Steps = Field(description="A step or a list of steps.")
    on_error: Steps = Field(alias="catch", description="What happens instead when one of them fails; $error tells why.")


class Try(Kind):
    """Runs its steps; where one of them fails, nothing of them goes out, and what stands under ``catch`` runs instead.

    Either way the message goes on behind the step. For a single step, ``on_error`` beside it does the same.
    """

    kind: ClassVar[str] = "try"
    summary = "Say what happens instead when one of several steps fails."
    Settings = TrySettings
    beside = ("catch",)

    @classmethod
    def sketch(cls, settings: TrySettings) -> Sketch:
        return Sketch(ways=(Way("goes well", tuple(settings.do)),))

    @classmethod
    def outcomes(cls, settings: TrySettings) -> tuple[str, ...]:
        return ()

    @classmethod
    def check(cls, settings: TrySettings, scope: Scope) -> Scope:
        return scope.steps(settings.do, ("do",))

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        block = context.block(step.settings.do)

        def run(work: Work) -> bool:
            work.at = step
            work.trace("begun")
            return block(work)

        return run
