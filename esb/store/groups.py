"""Groups of messages at stateful steps: a row each, and one for every message that counts there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.store import tables
from esb.store.connection import Connection
from esb.store.text import cut


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One group. The fields are the columns of ``groups``; times are epoch seconds. ``data`` is the owner's packing.

    ``waits``: for what, in words; "" when for nothing. ``dropped``: messages that came too late. Of a flow, a step and
    a key one group is open at a time, the others have ended.
    """

    id: str
    flow: str
    step: str
    key: str
    kind: str
    definition: str
    size: int = 0
    waits: str = ""
    reason: str = ""
    dropped: int = 0
    opened_at: float
    changed_at: float
    due_at: float | None = None
    forget_at: float | None = None
    closed_at: float | None = None
    data: bytes = b""

    @property
    def cursor(self) -> tuple[float, str]:
        """Where a listing goes on behind this row."""
        return self.opened_at, self.id


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message that counts at a step. ``content`` None: it has left its group."""

    flow: str
    step: str
    member_id: str
    group_id: str
    position: int = 0
    at: float
    left_at: float | None = None
    content: bytes | None = None


_COLUMNS = GroupRow.__struct_fields__
_SMALL = _COLUMNS[:-1]
_ALL = ", ".join(_COLUMNS)
_FIXED = ("id", "flow", "step", "key", "kind", "definition", "opened_at")
_CHANGED = [name for name in _COLUMNS if name not in _FIXED]
_MEMBER = ", ".join(MemberRow.__struct_fields__)
_INSERT = f"INSERT INTO groups ({_ALL}) VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO NOTHING"
_MOST_WORDS = 2000


class Groups:
    """The rows of ``groups`` and ``group_members``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # --- moving them on -----------------------------------------------------------------------------------------

    def open(self, rows: Sequence[GroupRow]) -> None:
        """Begin groups; what another transaction has begun, or begins now, stays."""
        self._db.many(_INSERT, [self._row(row) for row in sorted(rows, key=lambda row: (row.flow, row.step, row.key))])

    def lock(self, flow: str, step: str, keys: Collection[str]) -> dict[str, GroupRow]:
        """The open ones with these keys, for this transaction alone until it ends."""
        rows = self._db.rows(
            f"SELECT {_ALL} FROM groups WHERE flow = ? AND step = ? AND {self._db.one_of('key')} "
            f"AND closed_at IS NULL ORDER BY key {self._db.for_update}",
            (flow, step, self._db.listed(sorted(set(keys)))),
        )
        return {row.key: row for row in map(self._group, rows)}

    def lock_one(self, id: str) -> GroupRow | None:
        """An open one by its id, for this transaction alone."""
        row = self._db.row(f"SELECT {_ALL} FROM groups WHERE id = ? AND closed_at IS NULL {self._db.for_update}", (id,))
        return self._group(row) if row else None

    def ended(self, flow: str, step: str, keys: Collection[str]) -> dict[str, str]:
        """Of these keys, those with groups that have ended: key -> id of the latest."""
        rows = self._db.rows(
            f"SELECT key, id FROM groups WHERE flow = ? AND step = ? AND {self._db.one_of('key')} "
            "AND closed_at IS NOT NULL ORDER BY closed_at",
            (flow, step, self._db.listed(sorted(set(keys)))),
        )
        return dict(rows)

    def save(self, rows: Sequence[GroupRow]) -> None:
        """The new states of groups that are locked."""
        changes = ", ".join(f"{name} = ?" for name in _CHANGED)
        values = [dict(zip(_COLUMNS, self._row(row), strict=True)) for row in rows]
        self._db.many(
            f"UPDATE groups SET {changes} WHERE id = ?",
            [(*(value[name] for name in _CHANGED), value["id"]) for value in values],
        )

    def drop(self, ids: Sequence[str]) -> None:
        """These have not begun after all."""
        if ids:
            self._db.run(f"DELETE FROM groups WHERE {self._db.one_of('id')}", (self._db.listed(ids),))

    def count_dropped(self, counts: Sequence[tuple[str, int]]) -> None:
        """So many more messages came too late for groups that have ended."""
        self._db.many("UPDATE groups SET dropped = dropped + ? WHERE id = ?", [(n, id) for id, n in sorted(counts)])

    # --- members ------------------------------------------------------------------------------------------------

    def known(self, flow: str, step: str, ids: Collection[str]) -> set[str]:
        """Which of these count at the step already."""
        rows = self._db.rows(
            f"SELECT member_id FROM group_members WHERE flow = ? AND step = ? AND {self._db.one_of('member_id')}",
            (flow, step, self._db.listed(sorted(set(ids)))),
        )
        return {row[0] for row in rows}

    def join(self, members: Sequence[MemberRow]) -> None:
        """These count from now on."""
        close = self._db.seal.close
        rows = [
            (m.flow, m.step, m.member_id, m.group_id, m.position, m.at, m.left_at, m.content and close(m.content))
            for m in sorted(members, key=lambda m: (m.flow, m.step, m.member_id))
        ]
        self._db.many(
            f"INSERT INTO group_members ({_MEMBER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows
        )

    def members(self, group: str, limit: int = -1) -> list[MemberRow]:
        """All that a group holds, by position; or so many of them."""
        cut, values = ("LIMIT ?", (group, limit)) if limit >= 0 else ("", (group,))
        return self._members(f"ORDER BY position, at, member_id {cut}", values)

    def member_at(self, group: str, position: int) -> MemberRow | None:
        """The one that it holds at a position."""
        found = self._members("AND position = ?", (group, position))
        return found[0] if found else None

    def left(self, group: str, ids: Sequence[str], at: float) -> None:
        """These have left; what they said is forgotten, that they came is not."""
        if ids:
            self._db.run(
                f"UPDATE group_members SET content = NULL, left_at = ? WHERE group_id = ? AND left_at IS NULL "
                f"AND {self._db.one_of('member_id')}",
                (at, group, self._db.listed(ids)),
            )

    def left_all(self, groups: Sequence[str], at: float) -> None:
        """All members of these groups have left."""
        if groups:
            self._db.run(
                "UPDATE group_members SET content = NULL, left_at = ? "
                f"WHERE {self._db.one_of('group_id')} AND left_at IS NULL",
                (at, self._db.listed(groups)),
            )

    # --- looking ------------------------------------------------------------------------------------------------

    def due(self, now: float, limit: int) -> list[str]:
        """Ids of open groups whose time has come, the longest waiting first."""
        rows = self._db.rows(
            "SELECT id FROM groups WHERE due_at <= ? AND closed_at IS NULL ORDER BY due_at, id LIMIT ?", (now, limit)
        )
        return [row[0] for row in rows]

    def next_due(self) -> float | None:
        """When the next one's time comes; None when there is none."""
        found: float | None = self._db.row("SELECT min(due_at) FROM groups WHERE closed_at IS NULL")[0]
        return found

    def get(self, id: str) -> GroupRow | None:
        """One, whole."""
        row = self._db.row(f"SELECT {_ALL} FROM groups WHERE id = ?", (id,))
        return self._group(row) if row else None

    def search(
        self,
        *,
        id: str = "",
        flow: str = "",
        key: str = "",
        waiting: bool = True,
        limit: int = 100,
        before: tuple[float, str] | None = None,
    ) -> list[GroupRow]:
        """Groups that messages waited in, the newest first, without ``data``.

        Args:
            id: the first characters of an id, or all.
            waiting: only those that are open and wait for something.
            before: the ``cursor`` of the last row of the page before.
        """
        at = tables.groups.c
        query = sa.select(*(at[column] for column in _SMALL))
        query = query.where(*(at[column] == value for column, value in {"flow": flow, "key": key}.items() if value))
        if id:
            query = query.where(at.id >= id, at.id < id + "\U0010ffff")
        if waiting:
            query = query.where(at.closed_at.is_(None), at.waits != "")
        else:
            query = query.where(sa.or_(at.waits != "", at.closed_at.is_not(None)))
        if before is not None:
            query = query.where(sa.tuple_(at.opened_at, at.id) < before)
        query = query.order_by(at.opened_at.desc(), at.id.desc()).limit(limit)
        return [GroupRow(**dict(zip(_SMALL, row, strict=True))) for row in self._db.select(query)]

    def _members(self, rest: str, values: tuple[Any, ...]) -> list[MemberRow]:
        rows = self._db.rows(
            f"SELECT {_MEMBER} FROM group_members WHERE group_id = ? AND left_at IS NULL {rest}", values
        )
        found = [MemberRow(**dict(zip(MemberRow.__struct_fields__, row, strict=True))) for row in rows]
        open = self._db.seal.open
        return [msgspec.structs.replace(m, content=open(m.content)) for m in found if m.content is not None]

    def _row(self, row: GroupRow) -> tuple[Any, ...]:
        """Words made fit for every database; the machine is for the bus alone."""
        fields = {name: getattr(row, name) for name in _SMALL}
        fields |= {name: cut(fields[name], _MOST_WORDS) for name in ("waits", "reason")}
        return *fields.values(), self._db.seal.close(row.data)

    def _group(self, row: Sequence[Any]) -> GroupRow:
        found = GroupRow(**dict(zip(_COLUMNS, row, strict=True)))
        return msgspec.structs.replace(found, data=self._db.seal.open(found.data))
