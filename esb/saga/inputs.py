"""What can happen to a saga that runs."""

from __future__ import annotations

import msgspec

from esb.saga.state import ActName, Direction


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint answered a command. ``body`` is JSON.

    ``certain``: a failure that surely left no effect behind.
    """

    step: str
    direction: Direction
    attempt: int
    done: bool
    body: bytes = b""
    error_kind: str = ""
    error: str = ""
    certain: bool = True


class Late(msgspec.Struct, frozen=True):
    """The saga's time is up."""


class Due(msgspec.Struct, frozen=True):
    """A step's wait is over: for its answer, for its late answer, or before it is tried again.

    ``due`` tells which: the clock of whoever notices does not matter.
    """

    step: str
    direction: Direction
    due: float


class Act(msgspec.Struct, frozen=True):
    """A person decides."""

    act: ActName
    who: str
    reason: str = ""


Input = Answer | Late | Due | Act
