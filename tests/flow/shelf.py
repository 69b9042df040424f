"""Groups in memory, as the worker keeps them in the store: the reference that interleavings are tried on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from esb.errors import MessageError
from esb.flow.groups import Hold, Left, Machine, Member, Move, Next, goes_back
from esb.flow.legs import Continuation
from esb.flow.steps import read_machine
from esb.message import create

FLOW, STEP = "sales", "step"


class Group:
    """One group; its machine goes through its packed form at each move, as it does in the store."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.members: list[tuple[int, Member]] = []
        self.left: dict[str, bytes] = {}

    def all(self) -> Sequence[Member]:
        return [member for _, member in sorted(self.members, key=lambda one: one[0])]

    def at(self, position: int) -> Member:
        return next(member for where, member in self.members if where == position)

    def token(self) -> str:
        return f"token-{id(self)}"

    def claimed(self, token: str) -> bytes | None:
        return self.left.get(token)


class Shelf:
    """All groups of one step."""

    def __init__(self) -> None:
        self.open: dict[str, Group] = {}
        self.ended: dict[str, int] = {}
        self.known: set[str] = set()
        self.nexts: list[Next] = []  # what went on, in order
        self.parked: list[Next] = []
        self.left: list[Left] = []
        self.deposits: dict[str, bytes] = {}

    def arrive(self, hold: Hold, now: float = 1000.0) -> None:
        """A message comes; what counted before does not count again."""
        if hold.machine.gathers and hold.member.id in self.known:
            return
        fresh = hold.key not in self.open
        group = self.open.get(hold.key) or Group(hold.machine)
        group.left = self.deposits
        try:
            move = group.machine.arrive(hold.member, group, now, fresh and hold.key in self.ended)
        except MessageError as error:
            move = Move(nexts=(Next(at=goes_back(hold.member), error=error),))
        if not any(each.error and each.at.go == "again" for each in move.nexts):
            self.known.add(hold.member.id)
        if move.keeps is not None:
            group.members.append((move.keeps, hold.member))
        if fresh and move.machine is not None and hold.machine.remembers:
            self.open[hold.key] = group
        self._apply(hold.key, group, move)

    def strike(self, key: str, now: float) -> None:
        """Its time may have come."""
        group = self.open.get(key)
        if group and group.machine.due is not None and group.machine.due <= now:
            self._apply(key, group, group.machine.strike(group, now))

    def release(self, key: str, now: float = 1000.0) -> None:
        """A person lets go what is there."""
        group = self.open.get(key)
        if group:
            self._apply(key, group, group.machine.release(group, now))

    def through(self, each: Next, now: float = 1000.0) -> None:
        """What went on has gone through the flow."""
        for ticket in each.at.behind:
            group = self.open.get(ticket.key)
            if group:
                self._apply(ticket.key, group, group.machine.through(ticket.number, group, now))

    def _apply(self, key: str, group: Group, move: Move) -> None:
        if move.machine is not None:
            group.machine = read_machine(msgspec.msgpack.encode(move.machine))
        gone = {left.member.id for left in move.left}
        group.members = [one for one in group.members if one[1].id not in gone]
        self.left += move.left
        self.nexts += [each for each in move.nexts if each.error is None]
        self.parked += [each for each in move.nexts if each.error is not None]
        if move.deposit:
            self.deposits[move.deposit.token] = move.deposit.content
        if move.over:
            assert group.members == [], "whoever ends leaves nobody behind"
            del self.open[key]
            self.ended[key] = self.ended.get(key, 0) + 1


def member(id: str, document: Any = None, **more: Any) -> Member:
    """A message at the step."""
    message = create(b"", id=id, type="sale", source="test", time=1e9, subject=more.pop("subject", None))
    body = msgspec.Raw(json.dumps({"n": id} if document is None else document).encode())
    at = Continuation(flow=FLOW, definition="v1", step=STEP, message=message, type="sale", document=body)
    return Member(id=more.pop("stay", id), at=at, **more)


def held(machine: Machine, member: Member, key: str = "k") -> Hold:
    """It comes to the step."""
    return Hold(step=STEP, kind="any", key=key, machine=machine, member=member)


def document(each: Next) -> Any:
    """What goes on."""
    return json.loads(bytes(each.at.document) if each.answer is None else each.answer)
