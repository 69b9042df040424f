"""Tracking: one row per message and place, from which journeys and the ledger are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from esb.message import LONGEST_KEY, TEST
from esb.store import ledger, tables, traffic
from esb.store.connection import Connection
from esb.store.text import cut

FINAL = 30  # a status from here on is the end


class Status(IntEnum):
    """What became of a message at a place. The tens are the rank, which only rises (see :meth:`Tracking.record`)."""

    RETRYING = 10  # failed, and will be tried again by itself
    WAITING = 11  # flow: for the answer to a call
    IN_DOUBT = 20  # nobody can know whether its effect took place; a person decides
    PARKED = 21  # set aside for a person
    REJECTED = 22  # out: answered with a failure; whoever asked decides, and may ask again
    ACCEPTED = 30  # in: safe in the broker
    DUPLICATE = 31  # in: came before
    UNSUBSCRIBED = 32  # in, event: nobody wants it
    FILTERED = 33  # flow: left out by a step
    COMPLETED = 34  # flow, out: done
    DISCARDED = 35  # given up by a person
    COMPENSATED = 36  # out: done, and undone by a saga

    @property
    def label(self) -> str:
        """As people read it: ``in doubt``."""
        return self.name.lower().replace("_", " ")


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One message at one place. The fields are the columns of ``hops``, in their order; times are epoch seconds.

    ``place`` is ``in:<endpoint>``, ``flow:<name>``, ``saga:<name>``, ``out:<endpoint>`` or ``event:<type>``. ``sent``
    counts the commands that came out of this hop: for a flow its sends, for an entry the flows and sagas that get a
    copy. ``published`` counts events.
    ``steps`` and ``headers`` are packed by whoever writes them and mean nothing here.
    """

    message_id: str
    place: str
    status: Status
    operation: str | None = None
    correlation_id: str
    causation_id: str | None = None
    type: str
    version: int = 0
    source: str | None = None
    subject: str | None = None
    time: float = 0.0
    received_at: float = 0.0
    ended_at: float | None = None
    attempts: int = 0
    error_kind: str | None = None
    error: str | None = None
    sent: int = 0
    published: int = 0
    definition: str | None = None
    detail: str | None = None
    content_type: str | None = None
    steps: bytes | None = None
    headers: bytes | None = None
    body: bytes | None = None

    @property
    def cursor(self) -> tuple[float, str, str]:
        """Where a listing goes on behind this hop."""
        return self.received_at, self.message_id, self.place

    def sanitised(self) -> Hop:
        """The same with texts that every database takes: no NUL, no lone surrogate, none over-long, bodies capped."""
        changes: dict[str, Any] = {}
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and (clean := cut(value, _LIMITS.get(name, 1000))) != value:
                changes[name] = clean
        for name in _BLOBS:
            value = getattr(self, name)
            if value is not None and len(value) > _BLOB_LIMIT:
                changes[name] = None
        return msgspec.structs.replace(self, **changes) if changes else self


_TEXTS = (
    "message_id", "place", "operation", "correlation_id", "causation_id", "type", "source", "subject",
    "error_kind", "error", "definition", "detail", "content_type",
)  # fmt: skip
_BLOBS = ("steps", "headers", "body")
_LIMITS = {"error": 8000, "message_id": 500, "place": 500, "correlation_id": 500, "type": 500, "subject": LONGEST_KEY}
_BLOB_LIMIT = 64 * 1024**2
_BEHIND_TESTS = TEST[:-1] + chr(ord(TEST[-1]) + 1)  # the first correlation id that is no test's any more
_COLUMNS = Hop.__struct_fields__
_SMALL = tuple(name for name in _COLUMNS if name not in _BLOBS)
_ALL = ", ".join(_COLUMNS)
# What is learnt once stays: when it was first seen, and what a later hop leaves out.
_KEPT = ("message_id", "place", "received_at", *_BLOBS)
_UPSERT = (
    f"INSERT INTO hops ({_ALL}) {{rows}} "
    "ON CONFLICT (message_id, place) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEPT)
    + ", "
    + ", ".join(f"{name} = coalesce(excluded.{name}, hops.{name})" for name in _BLOBS)
    + f" WHERE hops.status < {FINAL} AND excluded.status / 10 >= hops.status / 10"
    # What waits for a later answer has sent more: an earlier leg, run again behind a kill, comes late.
    + f" AND NOT (excluded.sent < hops.sent AND hops.status = {Status.WAITING:d} AND excluded.status = hops.status)"
)


class Tracking:
    """The rows of ``hops``."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def record(self, hops: Sequence[Hop], new: bool = False) -> None:
        """Write hops; a row that exists is overwritten where its status has a lower rank, or the same and is not final.

        What waits for an answer does not go back to wait for one before it. So writing again changes nothing, and late
        news never undoes what is known. Raises ``RowRefused`` when the database refuses a value; then the whole
        transaction is lost, and each row should be tried alone (:meth:`Hop.sanitised` helps). ``new`` makes it faster
        where hardly ever one of them was recorded before.
        """
        # In the order of the key: two processes that write the same rows then wait, instead of blocking each other.
        self._db.load(_UPSERT, tables.hops, _COLUMNS, sorted(map(_row, hops), key=itemgetter(0, 1)), new)

    def reopen(self, keys: Sequence[tuple[str, str]]) -> None:
        """(message id, place) that were parked or in doubt are being tried again, by somebody's decision."""
        self._db.many(
            "UPDATE hops SET status = 10, ended_at = NULL WHERE message_id = ? AND place = ? AND status IN (20, 21)",
            list(keys),
        )

    def settle(self, key: tuple[str, str], status: Status) -> None:
        """(message id, place) came to its end, says somebody who looked."""
        self._db.run(
            f"UPDATE hops SET status = ?, ended_at = {self._db.now} "
            f"WHERE message_id = ? AND place = ? AND status < {FINAL}",
            (int(status), *key),
        )

    def discard(self, keys: Sequence[tuple[str, str]], at: float) -> None:
        """(message id, place) are given up, by somebody's decision."""
        self._db.many(
            f"UPDATE hops SET status = 35, ended_at = ? WHERE message_id = ? AND place = ? AND status < {FINAL}",
            [(at, *key) for key in keys],
        )

    def compensated(self, keys: Sequence[tuple[str, str]]) -> None:
        """(message id, place) that were done are undone."""
        self._db.many("UPDATE hops SET status = 36 WHERE message_id = ? AND place = ? AND status = 34", sorted(keys))

    def get(self, message_id: str, place: str) -> Hop | None:
        """One hop with everything stored of it."""
        row = self._db.row(f"SELECT {_ALL} FROM hops WHERE message_id = ? AND place = ?", (message_id, place))
        return _hop(row) if row else None

    def all(self, limit: int) -> list[Hop]:
        """The first of all hops in the order they began, without headers and bodies."""
        columns = [name for name in _COLUMNS if name not in ("headers", "body")]
        query = f"SELECT {', '.join(columns)} FROM hops ORDER BY received_at, message_id, place LIMIT ?"
        return [_hop(row, columns) for row in self._db.rows(query, (limit,))]

    def known(self, ids: Collection[str], place: str) -> set[str]:
        """Which of these messages have a row at a place."""
        rows = self._db.rows(
            f"SELECT message_id FROM hops WHERE {self._db.one_of('message_id')} AND place = ?",
            (self._db.listed(sorted(set(ids))), place),
        )
        return {row[0] for row in rows}

    def ended(self, ids: Collection[str], place: str) -> set[str]:
        """Which of these messages came to their end at a place."""
        rows = self._db.rows(
            f"SELECT message_id FROM hops WHERE {self._db.one_of('message_id')} AND place = ? AND status >= {FINAL}",
            (self._db.listed(sorted(set(ids))), place),
        )
        return {row[0] for row in rows}

    def family(self, message_id: str, limit: int) -> list[Hop]:
        """As :meth:`journey`, at most so many, without headers and bodies."""
        columns = [name for name in _COLUMNS if name not in ("headers", "body")]
        rows = self._db.rows(
            f"SELECT {', '.join(columns)} FROM hops WHERE correlation_id IN "
            "(SELECT correlation_id FROM hops WHERE message_id = ?) ORDER BY received_at, message_id, place LIMIT ?",
            (message_id, limit),
        )
        return [_hop(row, columns) for row in rows]

    def journey(self, message_id: str) -> list[Hop]:
        """All hops of everything that came from the same root as this message, in the order they began."""
        rows = self._db.rows(
            f"SELECT {_ALL} FROM hops WHERE correlation_id IN "
            "(SELECT correlation_id FROM hops WHERE message_id = ?) ORDER BY received_at, message_id, place",
            (message_id,),
        )
        return [_hop(row) for row in rows]

    def meaning(self, text: str) -> dict[str, Any]:
        """What a text that somebody looks for stands for, as arguments of :meth:`find`.

        A business key goes before the beginning of an id, that before a correlation, that before the beginning of a
        business key; with ``*`` behind it, it is the last for certain.
        """
        if not text or text.endswith("*"):
            return {"subject_prefix": text[:-1]} if text else {}
        tries: list[dict[str, Any]] = [
            {"subject": text},
            {"id": text},
            {"correlation_id": text},
            {"subject_prefix": text},
        ]
        return next((one for one in tries if self.find(limit=1, **one)), tries[0])

    def find(
        self,
        *,
        id: str = "",
        correlation_id: str = "",
        subject: str = "",
        subject_prefix: str = "",
        type: str = "",
        place: str = "",
        status: Collection[int] = (),
        since: float | None = None,
        until: float | None = None,
        tests: bool = False,
        limit: int = 100,
        before: tuple[float, str, str] | None = None,
    ) -> list[Hop]:
        """Hops, the newest first, without steps, headers and body.

        Args:
            id: the first characters of a message id, or all.
            subject, subject_prefix: a business key, or its first characters.
            place: a place, or with a colon at the end all of its sort (``out:``).
            status: any of these.
            since, until: bounds of ``received_at``, epoch seconds.
            tests: also test messages and what came of them; they are found by their ids in any case.
            before: the ``cursor`` of the last hop of the page before.
        """
        at = tables.hops.c
        query = sa.select(*(at[name] for name in _SMALL))
        equal = {"correlation_id": correlation_id, "subject": subject, "type": type}
        query = query.where(*(at[name] == value for name, value in equal.items() if value))
        query = query.where(*_prefixed(at.message_id, id), *_prefixed(at.subject, subject_prefix))
        query = query.where(*_placed(at.place, place), *_status(at.status, status))
        if not (tests or id or correlation_id):
            query = query.where(sa.or_(at.correlation_id < TEST, at.correlation_id >= _BEHIND_TESTS))
        if since is not None:
            query = query.where(at.received_at >= since)
        if until is not None:
            query = query.where(at.received_at < until)
        if before is not None:
            query = query.where(sa.tuple_(at.received_at, at.message_id, at.place) < before)
        query = query.order_by(at.received_at.desc(), at.message_id.desc(), at.place.desc()).limit(limit)
        return [_hop(row, _SMALL) for row in self._db.select(query)]

    def test_runs(self, flow: str, limit: int) -> list[str]:
        """The correlation ids of a flow's test messages, the newest first."""
        rows = self._db.rows(
            "SELECT DISTINCT correlation_id FROM hops WHERE correlation_id >= ? AND correlation_id < ? "
            "ORDER BY correlation_id DESC LIMIT ?",
            (f"{TEST}{flow}:", f"{TEST}{flow};", limit),
        )
        return [row[0] for row in rows]

    def ledger(self) -> ledger.Ledger:
        """What became of everything: see :class:`~esb.store.ledger.Ledger`."""
        return ledger.read(self._db)

    def traffic(self, since: float, limit: int = 5000) -> traffic.Traffic:
        """What passed each place since a moment (epoch seconds), read from the newest ``limit`` hops."""
        return traffic.read(self._db, since, limit)

    def steps_at(self, place: str, since: float, limit: int = 2000) -> Sequence[bytes]:
        """What a flow noted of its steps, for those of the newest ``limit`` hops that are its; packed."""
        return traffic.steps(self._db, place, since, limit)


def _row(hop: Hop) -> tuple[Any, ...]:
    """Its columns. SQLite's driver takes long over a number that is not quite an ``int``."""
    id, place, status, *rest = msgspec.structs.astuple(hop)
    return id, place, int(status), *rest


def _hop(row: Sequence[Any], columns: Sequence[str] = _COLUMNS) -> Hop:
    values = dict(zip(columns, row, strict=True))
    return Hop(**values | {"status": Status(values["status"])})


def _prefixed(column: Any, prefix: str) -> list[Any]:
    return [column >= prefix, column < prefix + "\U0010ffff"] if prefix else []


def _placed(column: Any, place: str) -> list[Any]:
    return _prefixed(column, place) if place.endswith(":") else [column == place] if place else []


def _status(column: Any, wanted: Collection[int]) -> list[Any]:
    """Numbers stand in the text here, so that the database sees when its index of open hops is enough."""
    if not wanted:
        return []
    found = column.in_([sa.literal_column(str(int(status))) for status in sorted(wanted)])
    return [found, column < sa.literal_column(str(FINAL))] if max(wanted) < FINAL else [found]
