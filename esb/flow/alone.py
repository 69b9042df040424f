"""One message through a flow by itself: as far as it gets with the answers that are given, and with nobody else there.

Where it waits for time to pass, it goes on at once; where it waits for others, it stays. What it leaves at the steps
that remember lies in memory meanwhile.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from esb.errors import MessageError
from esb.flow.groups import Hold, Machine, Member, Move
from esb.flow.recording import Recorder
from esb.flow.result import Call, Failure, Result
from esb.formats.numbers import decode_json
from esb.message import Message

LEGS = 1000  # that one message may have, with all its parts: a loop may never end

Answer = Callable[[Call], tuple[Any, Failure | None] | None]


class Ended(msgspec.Struct, frozen=True):
    """How it ended, and what it waits for: calls that nobody answered, and steps with what is missing there."""

    status: str
    subject: str | None
    error: MessageError | None
    unanswered: Sequence[Call]
    waiting: Mapping[str, str]


def run_alone(recorder: Recorder, message: Message, answer: Answer) -> Ended:
    """As far as it gets.

    Args:
        recorder: of the flow; it takes notes.
        message: with a JSON body.
        answer: what a call is answered; None: nothing.
    """
    way = _Way(recorder, message, answer)
    way.run()
    return way.ended()


class _Group:
    """What one step remembers under one key (the :class:`~esb.flow.groups.Memory` of its machine)."""

    def __init__(self, machine: Machine, deposits: dict[str, bytes]) -> None:
        self.machine = machine
        self.members: dict[int, Member] = {}
        self.deposits = deposits

    def all(self) -> Sequence[Member]:
        return [self.members[position] for position in sorted(self.members)]

    def at(self, position: int) -> Member:
        return self.members[position]

    def token(self) -> str:
        return secrets.token_urlsafe(24)

    def claimed(self, token: str) -> bytes | None:
        return self.deposits.get(token)

    def move(self, member: Member, move: Move) -> None:
        """As its machine decided when a member came."""
        self.machine = move.machine or self.machine
        if move.keeps is not None:
            self.members[move.keeps] = member
        gone = {left.member.id for left in move.left}
        self.members = {position: one for position, one in self.members.items() if one.id not in gone}
        if move.deposit:
            self.deposits[move.deposit.token] = move.deposit.content


class _Way:
    def __init__(self, recorder: Recorder, message: Message, answer: Answer) -> None:
        self._recorder = recorder
        self._answer = answer
        self._message = message
        self._results: deque[Result] = deque()
        self._groups: dict[tuple[str, str], _Group] = {}
        self._over: set[tuple[str, str]] = set()
        self._deposits: dict[str, bytes] = {}
        self._status = ""
        self._subject: str | None = None
        self._unanswered: list[Call] = []
        self._error: MessageError | None = None

    def run(self) -> None:
        self._take(self._recorder.run(self._message), self._message.id)
        for _ in range(LEGS):
            if not self._results:
                return
            result = self._results.popleft()
            for hold in result.holds:  # before the answers: whoever asks several is there before these
                self._arrive(hold)
            for call in result.calls:
                self._ask(call)
        self._error = self._error or MessageError(f"it has gone on {LEGS:,} times, and is not followed any further")

    def ended(self) -> Ended:
        open_ = {key: group.machine for key, group in self._groups.items() if group.members}
        waiting = {step: machine.waits for (step, _), machine in open_.items()}
        return Ended(self._status, self._subject, self._error, self._unanswered, waiting)

    def _take(self, result: Result, id: str) -> None:
        """What came of it, or of a part, or of what became of several."""
        self._results.append(result)
        self._error = self._error or result.error or next((child.error for child in result.children), None)
        if id == self._message.id:
            self._status = result.status
            self._subject = result.subject or self._subject

    def _ask(self, call: Call) -> None:
        answer = self._answer(call)
        if answer is None:
            self._unanswered.append(call)
        else:
            self._take(self._recorder.resume(call.continuation, *answer), call.owner.id)

    def _arrive(self, hold: Hold) -> None:
        key, member = (hold.step, hold.key), hold.member
        group = self._groups.get(key) or _Group(hold.machine, self._deposits)
        try:
            move = group.machine.arrive(member, group, self._message.time, key in self._over)
        except MessageError as error:
            self._error = self._error or error
            return
        group.move(member, move)
        if move.over:
            self._groups.pop(key, None)
            self._over.add(key)
        elif move.machine is not None and hold.machine.remembers:
            self._groups[key] = group
        self._follow(move)

    def _follow(self, move: Move) -> None:
        for left in move.left:
            if left.member.message.id == self._message.id and left.fate != "answered":
                self._status = left.fate
        for each in move.nexts:
            self._error = self._error or each.error
            if each.error is None:
                answer = None if each.answer is None else decode_json(each.answer)
                self._take(self._recorder.resume(each.at, answer, each.failure), each.at.message.id)
