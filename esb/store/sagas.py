"""Sagas: one row each, with its whole state packed; of a name and key only one runs at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.message import LONGEST_KEY
from esb.store import tables
from esb.store.connection import Connection
from esb.store.text import cut


class SagaRow(msgspec.Struct, frozen=True, kw_only=True):
    """One saga. The fields are the columns of ``sagas``; times are epoch seconds. ``data`` is the owner's packing.

    ``step`` is the one under way, ``version`` counts the changes.
    """

    id: str
    name: str
    key: str
    status: str
    step: str
    definition: str
    trigger_id: str
    correlation_id: str
    reason: str
    version: int
    deadline: float | None
    started_at: float
    updated_at: float
    ended_at: float | None
    data: bytes = b""

    @property
    def cursor(self) -> tuple[float, str]:
        """Where a listing goes on behind this row."""
        return self.started_at, self.id


_COLUMNS = SagaRow.__struct_fields__
_SMALL = _COLUMNS[:-1]
_ALL = ", ".join(_COLUMNS)
_FIXED = ("id", "name", "key", "definition", "trigger_id", "correlation_id", "deadline", "started_at")
_CHANGED = [name for name in _COLUMNS if name not in _FIXED]
_OPEN = frozenset(("running", "compensating", "stuck"))
_LIMITS = {"reason": 2000, "key": LONGEST_KEY, "trigger_id": 500, "correlation_id": 500}


class Sagas:
    """The rows of ``sagas``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def start(self, row: SagaRow) -> bool:
        """Write a new one; False when it is there already, or another with its name and key has not ended."""
        marks = ", ".join("?" * len(_COLUMNS))
        return self._db.run(f"INSERT INTO sagas ({_ALL}) VALUES ({marks}) ON CONFLICT DO NOTHING", self._row(row)) == 1

    def lock(self, ids: Collection[str]) -> dict[str, SagaRow]:
        """These, for this transaction alone until it ends, whole."""
        rows = self._db.rows(
            f"SELECT {_ALL} FROM sagas WHERE {self._db.one_of('id')} ORDER BY id {self._db.for_update}",
            (self._db.listed(sorted(set(ids))),),
        )
        return {row.id: row for row in map(self._saga, rows)}

    def save(self, rows: Sequence[SagaRow]) -> None:
        """The new states of sagas that are locked; one that is newer already stays."""
        changes = ", ".join(f"{name} = ?" for name in _CHANGED)
        values = [dict(zip(_COLUMNS, self._row(row), strict=True)) for row in sorted(rows, key=lambda row: row.id)]
        self._db.many(
            f"UPDATE sagas SET {changes} WHERE id = ? AND version < ?",
            [(*(value[name] for name in _CHANGED), value["id"], value["version"]) for value in values],
        )

    def get(self, id: str) -> SagaRow | None:
        """One, whole."""
        row = self._db.row(f"SELECT {_ALL} FROM sagas WHERE id = ?", (id,))
        return self._saga(row) if row else None

    def search(
        self,
        *,
        id: str = "",
        name: str = "",
        key: str = "",
        status: Collection[str] = (),
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        before: tuple[float, str] | None = None,
    ) -> list[SagaRow]:
        """Sagas, the newest first, without ``data``.

        Args:
            id: the first characters of an id, or all.
            status: any of these.
            since, until: bounds of ``started_at``, epoch seconds.
            before: the ``cursor`` of the last row of the page before.
        """
        at = tables.sagas.c
        query = sa.select(*(at[column] for column in _SMALL))
        query = query.where(*(at[column] == value for column, value in {"name": name, "key": key}.items() if value))
        if id:
            query = query.where(at.id >= id, at.id < id + "\U0010ffff")
        if status:
            query = query.where(at.status.in_(sorted(status)))
            if _OPEN.issuperset(status):  # there is an index of those that have not ended: few, however many there were
                query = query.where(at.ended_at.is_(None))
        if since is not None:
            query = query.where(at.started_at >= since)
        if until is not None:
            query = query.where(at.started_at < until)
        if before is not None:
            query = query.where(sa.tuple_(at.started_at, at.id) < before)
        query = query.order_by(at.started_at.desc(), at.id.desc()).limit(limit)
        return [SagaRow(**dict(zip(_SMALL, row, strict=True))) for row in self._db.select(query)]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many there are, by name and status."""
        rows = self._db.rows("SELECT name, status, count(*) FROM sagas GROUP BY name, status")
        return {(name, status): int(count) for name, status, count in rows}

    def open_names(self) -> set[str]:
        """Names of which some have not ended."""
        return {row[0] for row in self._db.rows("SELECT DISTINCT name FROM sagas WHERE ended_at IS NULL")}

    def _row(self, row: SagaRow) -> tuple[Any, ...]:
        """Texts made fit for every database; the state is for the bus alone."""
        fields = {name: getattr(row, name) for name in _SMALL}
        fields |= {name: cut(fields[name], limit) for name, limit in _LIMITS.items()}
        return *fields.values(), self._db.seal.close(row.data)

    def _saga(self, row: Sequence[Any]) -> SagaRow:
        found = SagaRow(**dict(zip(_COLUMNS, row, strict=True)))
        return msgspec.structs.replace(found, data=self._db.seal.open(found.data))
