"""What every step kind is: one class with its settings, its check and its compilation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from esb.config.components import Scope, Step
from esb.flow.work import Action

if TYPE_CHECKING:
    from esb.flow.context import Context


class Kind(ABC):
    """A step kind. Its settings, what they refer to, and the function it becomes."""

    kind: ClassVar[str]
    summary: ClassVar[str] = ""  # one line for the reference
    Settings: ClassVar[type[BaseModel]]

    @classmethod
    def target(cls, settings: Any) -> str:
        """The word that makes the default name ``kind:target``."""
        return ""

    @classmethod
    @abstractmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        """Report every reference and expression; return what is in force behind the step."""

    @classmethod
    @abstractmethod
    def compile(cls, step: Step, context: Context) -> Action:
        """The step as a function. Whatever can be prepared is prepared here."""

    @classmethod
    def absorb(cls, step: Step, rest: Sequence[Step]) -> Step | None:
        """The step with the ones behind it as its body, where it takes them; else None."""
        return None
