"""What all stateful steps do when they are compiled: end the leg of a message with a hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from esb.config.components import Step
from esb.flow.groups import Hold, Machine, Member
from esb.flow.legs import Continuation, leave
from esb.flow.work import Action, Work

if TYPE_CHECKING:
    from esb.flow.context import Context


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What a step makes of a message: its group, and how that begins. See :class:`~esb.flow.groups.Member`."""

    machine: Machine
    key: str = ""
    number: int | None = None
    position: int | None = None
    words: str = ""  # for the journey


def holding(
    step: Step,
    context: Context,
    arrive: Callable[[Work], Arrival],
    take: Callable[[Work, Any], None] | None = None,
) -> Action:
    """A step at which messages stay until it lets them go.

    Args:
        step: of the flow.
        context: what it is compiled against.
        arrive: what it makes of a message; may raise ``MessageError``.
        take: puts what the step answers into the document; without it the message goes on as it came.
    """
    flow, version = context.name, context.version

    def run(work: Work) -> bool:
        work.at = step
        given = arrive(work)
        work.trace(given.words or "waits")
        at = leave(work, flow, version)
        if given.machine.gathers:
            work.through += at.behind
            at = msgspec.structs.replace(at, behind=[])
        member = Member(id=stay(at), at=at, number=given.number, position=given.position)
        hold(work, given.machine, given.key, member)
        return False

    return context.waits(step, run, take or _as_it_is)


def hold(work: Work, machine: Machine, key: str, member: Member) -> None:
    """The message under way stays at the step under way."""
    step, part = work.at, bool(work.part)
    key = member.message.key(key) if key else key
    work.holds.append(Hold(step=step.name, kind=step.kind, key=key, machine=machine, member=member, part=part))
    work.suspended = True


def stay(at: Continuation, name: str = "") -> str:
    """What a message counts once by at a step; with a ``name`` an answer to it.

    A replay with effects counts anew, and so does each round of a loop.
    """
    message = at.message
    times = f"/{message.epoch}/{at.asked}" if message.epoch or at.asked else ""
    rounds = "".join(f"/{one.step}#{one.number}" for one in at.rounds)
    return f"{message.id}{times}{rounds}" + (f"#{name}" if name else "")


def _as_it_is(work: Work, answer: Any) -> None:
    pass
