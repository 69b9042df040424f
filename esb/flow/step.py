"""What every step kind is: one class with its settings, its check and its compilation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
from pydantic import BaseModel

from esb.config.components import Hidden, Scope, Step
from esb.flow.work import Action
from esb.masking import Mask

if TYPE_CHECKING:
    from esb.flow.context import Context
    from esb.flow.groups import Machine


class Link(msgspec.Struct, frozen=True):
    """Where a step lets a message out. ``answers``: something comes back from there."""

    kind: Literal["endpoint", "event", "end"]  # end: the message goes no further
    name: str
    operation: str = ""
    answers: bool = False


class Way(msgspec.Struct, frozen=True):
    """Steps inside a step, and when they are taken."""

    title: str
    steps: tuple[Step, ...]


class Sketch(msgspec.Struct, frozen=True):
    """What a step is to somebody who looks at its flow.

    ``ways``: one of them is taken, and what comes out of it goes on. ``body``: run for each part of the document,
    beside the flow. ``mappings`` and ``contracts`` are what it refers to by name.
    """

    text: str = ""
    links: tuple[Link, ...] = ()
    ways: tuple[Way, ...] = ()
    body: Way | None = None
    mappings: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()


class Kind(ABC):
    """A step kind. Its settings, what they refer to, and the function it becomes."""

    kind: ClassVar[str]
    summary: ClassVar[str] = ""  # one line for the reference
    Settings: ClassVar[type[BaseModel]]
    machine: ClassVar[type[Machine] | None] = None  # of a step where messages wait: how its groups move on
    beside: ClassVar[tuple[str, ...]] = ()  # keys of its settings that may stand beside the kind in the short form

    @classmethod
    def target(cls, settings: Any) -> str:
        """The word that makes the default name ``kind:target``."""
        return ""

    @classmethod
    def sketch(cls, settings: Any) -> Sketch:
        """For pictures and listings of what is used where."""
        return Sketch(cls.target(settings))

    @classmethod
    def outcomes(cls, settings: Any) -> tuple[str, ...]:
        """All that ``work.trace`` can say of it, where that is a choice: explanations and coverage go by these words.

        By default the titles of its ways; nothing for a step that always does the same.
        """
        return tuple(way.title for way in cls.sketch(settings).ways)

    @classmethod
    def kept(cls, settings: Any, hidden: Hidden) -> Mask:
        """What contracts hide, where the documents have it that the step makes and their own contract does not say so.

        Of answers that it puts into the document, of documents that it puts into others or takes out of them.
        """
        return Mask()

    @classmethod
    def overtaking(cls, settings: Any) -> str:
        """Why a message may pass another one there, as the end of a sentence; "" where none does."""
        return "messages wait in it, each for something of its own" if cls.machine is not None else ""

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
