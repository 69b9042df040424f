"""One group within a transaction: its machine, and its members as far as anybody asks for them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from esb.flow.groups import Hold, Machine, Member, group_id
from esb.flow.steps import read_machine
from esb.store import GroupRow, MemberRow, Transaction

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Member)
_pack = msgspec.msgpack.Encoder().encode


class Group:
    """A group on its way through one transaction. ``machine`` None: it would begin with the next message.

    It is the :class:`~esb.flow.groups.Memory` of its machine, too.
    """

    def __init__(self, t: Transaction, row: GroupRow, now: float, fresh: bool = False) -> None:
        """Args: the transaction, the row as it is locked (``fresh``: not yet written), epoch seconds."""
        self._t = t
        self._now = now
        self.row = row
        self.fresh = fresh
        self.changed = False
        self.machine: Machine | None = read_machine(row.data) if row.data else None
        self.joined: list[MemberRow] = []  # in this transaction
        self.gone: set[str] = set()  # ids of members that left
        self._stored: list[tuple[int, Member]] | None = None
        self._new: list[tuple[int, Member]] = []

    # --- what its machine asks --------------------------------------------------------------------------------

    def all(self) -> Sequence[Member]:
        """The members that it holds, by position."""
        if self._stored is None:
            rows = () if self.fresh else self._t.groups.members(self.row.id)
            self._stored = [(row.position, member_of(row)) for row in rows]
        held = sorted([*self._stored, *self._new], key=lambda one: one[0])
        return [member for _, member in held if member.id not in self.gone]

    def at(self, position: int) -> Member:
        """The one at a position."""
        for where, member in self._new:
            if where == position and member.id not in self.gone:
                return member
        row = self._t.groups.member_at(self.row.id, position)
        assert row is not None, "the machine knows what it holds"
        return member_of(row)

    def token(self) -> str:
        """A fresh text that nobody can guess."""
        return secrets.token_urlsafe(24)

    def claimed(self, token: str) -> bytes | None:
        """What was left under a token."""
        return self._t.claim_checks.get(token, self._now)

    # --- what becomes of it ------------------------------------------------------------------------------------

    def join(self, member: Member, position: int | None) -> None:
        """A message counts; with a position it stays."""
        stays = position is not None
        self.joined.append(
            MemberRow(
                flow=self.row.flow, step=self.row.step, member_id=member.id, group_id=self.row.id,
                position=position or 0, at=self._now, left_at=None if stays else self._now,
                content=_encode(member) if stays else None,
            )
        )  # fmt: skip
        if position is not None:
            self._new.append((position, member))

    def leave(self, id: str) -> None:
        """A member's stay has ended."""
        self.gone.add(id)

    def members_to_write(self) -> list[MemberRow]:
        """Those that joined; of the ones that left already nothing is kept but that they came."""
        over = self.row.closed_at is not None
        return [
            msgspec.structs.replace(row, content=None, left_at=self._now) if over or row.member_id in self.gone else row
            for row in self.joined
        ]

    def move(self, machine: Machine, over: str) -> None:
        """How it stands now; ``over``: why it ended with this."""
        self.machine = machine
        self.changed = True
        self.row = msgspec.structs.replace(
            self.row, size=machine.size, waits=machine.waits, reason=over, changed_at=self._now,
            due_at=None if over else machine.due, forget_at=None if over else machine.forgets,
            closed_at=self._now if over else None, data=_pack(machine),
        )  # fmt: skip


def begun(hold: Hold, key: str, now: float) -> GroupRow:
    """The row of a group that begins with this message."""
    at = hold.member.at
    return GroupRow(
        id=group_id(hold.member, hold.step), flow=at.flow, step=hold.step, key=key, kind=hold.kind,
        definition=at.definition, opened_at=now, changed_at=now,
    )  # fmt: skip


def member_of(row: MemberRow) -> Member:
    """A message as its group holds it."""
    return _decoder.decode(row.content or b"")
