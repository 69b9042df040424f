"""Groups: what stateful steps remember from one message to the next. Pure: a group and what happens to it in, a
decision out.

A stateful step ends the leg of a message with a :class:`Hold`. The worker finds the group that the hold names by step
and key, locks it, asks its :class:`Machine` for a :class:`Move`, and commits all of the move with the tracking of the
message. A machine is the step's settings together with what has been seen so far, so a group goes on by the rules
that it began with, and time-outs and people need no flow to move it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from esb.errors import MessageError
from esb.flow.legs import Continuation
from esb.flow.result import Failure, StepTrace
from esb.message import Message, child_of, derive_id
from esb.quoting import quote

LONGEST_KEY = 200  # characters; of a longer one the end becomes a hash

Fate = Literal["merged", "dropped", "answered", "gone"]


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message at a stateful step. ``id``: what it counts once by, within the step."""

    id: str
    at: Continuation  # where it goes on
    number: int | None = None  # what the step made of it: its place in a sequence, or how many belong together
    position: int | None = None  # where it belongs among the others
    name: str = ""  # who answered
    failure: Failure | None = None  # … that it failed

    @property
    def message(self) -> Message:
        """Whose stay this is; its body is in the continuation."""
        return self.at.message


class Memory(Protocol):
    """What a machine may look up while it decides."""

    def all(self) -> Sequence[Member]:
        """The members that the group holds, by position."""
        ...

    def at(self, position: int) -> Member:
        """The one at a position."""
        ...

    def token(self) -> str:
        """A fresh text that nobody can guess."""
        ...

    def claimed(self, token: str) -> bytes | None:
        """What was left under a token."""
        ...


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """A message goes on, as ``at.go`` says, once it is ``due`` (epoch seconds).

    With ``answer`` or ``failure`` the step takes that first. With ``error`` it is set aside, and a retry goes on there.
    """

    at: Continuation
    due: float = 0.0
    answer: bytes | None = None
    failure: Failure | None = None
    error: MessageError | None = None


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A member's stay has ended. ``child``: the message that it became part of."""

    member: Member
    fate: Fate
    words: str = ""  # for the journey
    child: str = ""


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Something to keep under a token until a moment (epoch seconds)."""

    token: str
    content: bytes
    until: float


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What follows. ``machine`` None: the group stays as it was, and one that would have begun does not."""

    machine: Machine | None = None
    keeps: int | None = None  # the position at which the arriving member stays
    nexts: tuple[Next, ...] = ()
    left: tuple[Left, ...] = ()
    deposit: Deposit | None = None
    over: str = ""  # why the group ended with this


class Machine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """How a group moves on: what its step was told, and what has been seen so far.

    ``remembers``: there is a row for each key; without, each message is by itself. ``gathers``: messages stay in it
    for others to come, and one that stays has gone as far as those behind it care.
    """

    remembers: ClassVar[bool] = True
    gathers: ClassVar[bool] = False

    def arrive(self, member: Member, memory: Memory, now: float, late: bool) -> Move:
        """A message has come. ``late``: it would begin a group, and one of this key has ended before.

        Raises ``MessageError``: the message is set aside.
        """
        return Move()

    def meet(self, fresh: Machine) -> Machine:
        """The group's machine, as a message finds it that would begin the group with ``fresh``."""
        return self

    def strike(self, memory: Memory, now: float) -> Move:
        """The moment that :attr:`due` told has come."""
        return Move()

    def release(self, memory: Memory, now: float) -> Move:
        """A person wants what is there to go on now."""
        return Move()

    def through(self, number: int, memory: Memory, now: float) -> Move:
        """The message with this number, let go one after the other, has gone through the flow."""
        return Move()

    @property
    def due(self) -> float | None:
        """When :meth:`strike` is to be called, epoch seconds."""
        return None

    @property
    def forgets(self) -> float | None:
        """When nothing depends on it any more, epoch seconds; None: as long as it is open."""
        return None

    @property
    def size(self) -> int:
        """How many messages it holds."""
        return 0

    @property
    def waits(self) -> str:
        """What it waits for, in words; "" when for nothing."""
        return ""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A message that ends its leg at a stateful step. ``machine``: how a group with this key begins."""

    step: str
    kind: str
    key: str
    machine: Machine
    member: Member
    part: bool = False  # of a split: a message of its own, which nobody has written down yet


class Late(MessageError):  # noqa: N818 - says what happened
    """A message came when those that it belongs to had gone on without it."""

    kind = "late"


def key_text(value: Any) -> str:
    """What an expression gave, as a key. Raises ``MessageError`` where it gave none."""
    if value is None or isinstance(value, list | dict) or value == "":
        raise MessageError("the key gives no text and no number")
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if len(text) <= LONGEST_KEY:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{text[: LONGEST_KEY - 33]}…{digest}"


def whole_number(value: Any, what: str) -> int:
    """A number that an expression gave. Raises ``MessageError`` naming ``what`` it should have been."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        given = "nothing" if value is None else quote(value)
        raise MessageError(f"{what} is a whole number, and the expression gives {given}")
    return int(value)


def group_id(first: Member, step: str) -> str:
    """The id of a group, and of what its members become: made from the member that it begins with."""
    message = first.message
    return derive_id(message.id, message.epoch, f"flow:{first.at.flow}", f"{step}#{first.id}", 0)


def goes_on(member: Member, words: str, kind: str, **more: Any) -> Continuation:
    """A member's way behind the step, as it came."""
    at = member.at
    return msgspec.structs.replace(at, go="on", steps=[*at.steps, StepTrace(at.step, kind, words)], **more)


def goes_back(member: Member) -> Continuation:
    """A member's way at the step itself, for what is set aside there and tried again."""
    return msgspec.structs.replace(member.at, go="again")


def merged(
    members: Sequence[Member], id: str, document: bytes, words: str, kind: str, subject: str | None
) -> tuple[Continuation, tuple[Left, ...]]:
    """One message of several: where it goes on, and how each of them ended.

    It inherits from the first (correlation, trace, headers, time), and its id is the group's.
    """
    first = members[0].at
    message = child_of(first.message, id, first.type, 0, subject, b"")
    at = msgspec.structs.replace(
        first, message=message, version=0, document=msgspec.Raw(document), sent=0, published=0, behind=[], go="on",
        steps=[StepTrace(first.step, kind, words)], error=None,
    )  # fmt: skip
    return at, tuple(Left(member=member, fate="merged", words=words, child=id) for member in members)


def common_subject(members: Sequence[Member], key: str) -> str | None:
    """The business key that all of them share, or else the group's."""
    found = {member.message.subject for member in members}
    return found.pop() if len(found) == 1 and None not in found else key
