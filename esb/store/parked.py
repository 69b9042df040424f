"""Parked messages: the dead letters, each with all that a person needs to decide about it.

Where a contract masks fields, a row holds the message twice: as it may be shown, and sealed, as a retry sends it on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from esb.message import LONGEST_KEY, Message, pack, unpack
from esb.store import tables
from esb.store.audit import Audit
from esb.store.connection import Connection
from esb.store.continuations import Continuations
from esb.store.held import HeldMessages
from esb.store.inbox import Inbox
from esb.store.outbox import Dispatch, Outbox, properties_decoder, properties_encoder
from esb.store.suspects import Suspects
from esb.store.text import cut, shape
from esb.store.tracking import Tracking

IN_DOUBT = "in doubt"  # the kind of a message whose effect nobody can know
RETRY = "esb-retry"  # property of a message sent on by `retry`: tell `resolved` when it gets through

Key = tuple[str, str]  # message id, place
State = Literal["parked", "retrying", "discarded", "resolved"]


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """One message at the place where it failed. ``queue`` is where a retry sends it; times are epoch seconds."""

    place: str
    queue: str
    kind: str
    error: str
    message: Message
    step: str = ""
    operation: str = ""
    properties: dict[str, str] = {}
    attempts: int = 0
    first_failed: float = 0.0
    parked_at: float = 0.0
    status: State = "parked"
    definition: str = ""
    original: Message | None = None  # given where ``message`` is masked: what a retry sends on; never read back

    @property
    def key(self) -> Key:
        """What the row goes by: an id that no database takes is kept as one that each does."""
        return cut(self.message.id, 500), self.place


class Waiting(msgspec.Struct, frozen=True):
    """A parked message as a line of a list: without its document, which may be large."""

    message_id: str
    place: str
    kind: str
    error: str
    shape: str
    step: str
    operation: str
    type: str
    subject: str | None
    attempts: int
    first_failed: float
    parked_at: float
    status: State

    @property
    def key(self) -> Key:
        """What an act goes by."""
        return self.message_id, self.place

    @property
    def cursor(self) -> tuple[float, str, str]:
        """Where a listing goes on behind this one."""
        return self.parked_at, self.message_id, self.place


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which parked messages are meant: those that agree with everything that is given.

    ``id`` is a message id or its beginning, ``error`` what a group's errors share, ``until`` the latest time of parking
    (epoch seconds): what is parked again after that was not meant.
    """

    id: str = ""
    place: str = ""
    kind: str = ""
    type: str = ""
    subject: str = ""
    error: str = ""
    until: float | None = None
    status: State | None = "parked"


class Group(msgspec.Struct, frozen=True):
    """Parked messages with one cause: same kind, same place, errors alike. Times of parking, epoch seconds."""

    kind: str
    place: str
    error: str
    count: int
    first: float
    last: float


_FIELDS = (
    "place", "queue", "kind", "error", "step", "operation", "attempts", "first_failed", "parked_at", "status",
    "definition",
)  # fmt: skip
_WRITTEN = (*_FIELDS, "message_id", "type", "subject", "shape", "message", "properties", "sealed")
_CHANGED = [name for name in _WRITTEN if name not in ("message_id", "place", "first_failed")]
_ADD = (
    f"INSERT INTO parked ({', '.join(_WRITTEN)}) VALUES ({', '.join('?' * len(_WRITTEN))}) "
    "ON CONFLICT (message_id, place) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _CHANGED)
)
_ACT = "UPDATE parked SET status = ? WHERE message_id = ? AND place = ? AND status = ?"


class ParkedMessages:
    """The rows of ``parked``, one per message and place."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, messages: Sequence[Parked]) -> None:
        """Set messages aside. One that was retried and failed again renews its row.

        Test messages are not: their journeys tell how they failed, and nobody has to decide about them.
        """
        whole = Continuations(self._db).whole
        rows = [
            (*_row(parked, whole(parked.properties)), self._sealed(parked))
            for parked in messages
            if not parked.message.is_test
        ]
        self._db.many(_ADD, sorted(rows, key=itemgetter(_WRITTEN.index("message_id"), 0)))

    def get(self, message_id: str, place: str) -> Parked | None:
        """One, whatever its status."""
        found = self._select(sa.select(*_columns()).where(_at.message_id == message_id, _at.place == place))
        return found[0] if found else None

    def list(
        self,
        *,
        id: str = "",
        place: str = "",
        kind: str = "",
        type: str = "",
        subject: str = "",
        error: str = "",
        status: State | None = "parked",
        limit: int = 100,
    ) -> Sequence[Parked]:
        """The longest waiting first. ``id`` is a message id or its beginning; ``error`` a group's."""
        equal = {"place": place, "kind": kind, "type": type, "subject": subject, "shape": error, "status": status}
        query = sa.select(*_columns()).where(*(_at[name] == value for name, value in equal.items() if value))
        if id:
            query = query.where(_at.message_id >= id, _at.message_id < id + "\U0010ffff")
        return self._select(query.order_by(_at.parked_at, _at.message_id, _at.place).limit(limit))

    def find(
        self, chosen: Chosen, *, after: tuple[float, str, str] | None = None, limit: int = 100
    ) -> Sequence[Waiting]:
        """Those that are meant, the longest waiting first, without their documents.

        ``after`` is the ``cursor`` of the last one of the page before.
        """
        query = sa.select(*(_at[name] for name in Waiting.__struct_fields__)).where(*_meant(chosen))
        if after is not None:
            query = query.where(sa.tuple_(_at.parked_at, _at.message_id, _at.place) > after)
        query = query.order_by(_at.parked_at, _at.message_id, _at.place).limit(limit)
        return [Waiting(*row) for row in self._db.select(query)]

    def count(self, chosen: Chosen) -> int:
        """How many are meant."""
        return int(self._db.select(sa.select(sa.func.count()).select_from(tables.parked).where(*_meant(chosen)))[0][0])

    def groups(self) -> Sequence[Group]:
        """What waits for a person, by cause; the most frequent first."""
        rows = self._db.rows(
            "SELECT kind, place, shape, count(*), min(parked_at), max(parked_at) FROM parked "
            "WHERE status = 'parked' GROUP BY kind, place, shape ORDER BY 4 DESC, 1, 2, 3"
        )
        return [Group(*row) for row in rows]

    def original(self, key: Key) -> Message | None:
        """The message as it came, for whoever sends it on or changes it; nobody else may read it. None: not parked."""
        row = self._db.row(
            "SELECT message, sealed FROM parked WHERE message_id = ? AND place = ? AND status = 'parked'", key
        )
        return None if row is None else unpack(row[0] if row[1] is None else self._db.seal.open(row[1]))

    def edit(self, key: Key, shown: Message, original: Message | None, who: str, why: str = "") -> bool:
        """Put another document in the place of a parked one; False when it is not parked any more.

        Args:
            shown, original: as in :class:`Parked`.
        """
        changed = self._db.run(
            "UPDATE parked SET message = ?, sealed = ? WHERE message_id = ? AND place = ? AND status = 'parked'",
            (pack(shown), None if original is None else self._db.seal.close(pack(original)), *key),
        )
        if changed:
            Audit(self._db).append(who, "edit", f"{key[0]} {key[1]}", why)
        return bool(changed)

    def retry(self, keys: Sequence[Key], who: str, why: str = "") -> Sequence[Key]:
        """Send messages on again, from where they failed; those that were parked, and are now under way.

        With this transaction: the outbox has them, the journey says so, the audit says who. What would stop them
        is cleared: a mark of poison, and the trace of a send that is in doubt (it is the person's decision now).
        """
        found = self._take(keys, "retrying")
        Outbox(self._db).add([self._dispatch(parked) for parked in found])
        Suspects(self._db).clear([parked.key for parked in found])
        Inbox(self._db).clear([_sending(parked) for parked in found if parked.place.startswith("out:")])
        Tracking(self._db).reopen([parked.key for parked in found])
        return self._audited(found, "retry", who, why)

    def discard(self, keys: Sequence[Key], who: str, why: str = "") -> Sequence[Key]:
        """Give messages up; those that were parked, and now are discarded."""
        found = self._take(keys, "discarded")
        Tracking(self._db).discard([parked.key for parked in found], time.time())
        HeldMessages(self._db).over([parked.key for parked in found])
        return self._audited(found, "discard", who, why)

    def settle(self, key: Key, act: str, who: str, why: str = "") -> bool:
        """Somebody knows how it ended, and says so by ``act``; False when it was not parked any more."""
        found = self._take([key], "resolved")
        HeldMessages(self._db).over([parked.key for parked in found])
        return bool(self._audited(found, act, who, why))

    def resolved(self, keys: Sequence[Key]) -> None:
        """Messages that were sent on got through. Say so for those with the property ``esb-retry``."""
        self._db.many(_ACT, [("resolved", *key, "retrying") for key in keys])

    def cleared_up(self, keys: Sequence[Key]) -> set[Key]:
        """How these ended is known after all: what was in doubt waits for nobody any more. Those that were."""
        doubts = f"{_ACT} AND kind = ?"
        return {key for key in sorted(keys) if self._db.run(doubts, ("resolved", *key, "parked", IN_DOUBT))}

    def _take(self, keys: Sequence[Key], status: State) -> Sequence[Parked]:
        """Those of ``keys`` that were still parked: of two people who act at once, one gets each message."""
        sql = (
            "UPDATE parked SET status = ? WHERE place = ? AND status = 'parked' AND message_id IN (SELECT message_id "
            f"FROM parked WHERE place = ? AND {self._db.one_of('message_id')} "
            f"ORDER BY message_id {self._db.for_update}) "
            f"RETURNING {', '.join((*_FIELDS, 'message', 'properties'))}"
        )
        found: list[Parked] = []
        for place, ids in _by_place(keys):
            rows = [_parked(row) for row in self._db.rows(sql, (status, place, place, self._db.listed(ids)))]
            found += sorted(rows, key=lambda parked: parked.key)
        return found

    def some(self, keys: Sequence[Key]) -> Sequence[Parked]:
        """These, as far as they are there."""
        found: list[Parked] = []
        for place, ids in _by_place(keys):
            found += self._select(sa.select(*_columns()).where(_at.place == place, _at.message_id.in_(ids)))
        return found

    def crowded(self, most: int) -> Sequence[tuple[str, int]]:
        """Places where so many are parked, or more, and how many they are."""
        return [
            (place, int(count))
            for place, count in self._db.rows(
                "SELECT place, count(*) FROM parked WHERE status = 'parked' GROUP BY place HAVING count(*) >= ? "
                "ORDER BY place",
                (most,),
            )
        ]

    def _audited(self, found: Sequence[Parked], act: str, who: str, why: str) -> Sequence[Key]:
        Audit(self._db).append_all([(who, act, f"{p.message.id} {p.place}", why, p.kind) for p in found])
        return [parked.key for parked in found]

    def _sealed(self, parked: Parked) -> bytes | None:
        return self._db.seal.close(pack(parked.original)) if parked.original is not None else None

    def _dispatch(self, parked: Parked) -> Dispatch:
        """The only reader of what is sealed."""
        (sealed,) = self._db.row("SELECT sealed FROM parked WHERE message_id = ? AND place = ?", parked.key)
        message = unpack(self._db.seal.open(sealed)) if sealed is not None else parked.message
        properties = Continuations(self._db).outgoing(parked.properties, time.time())
        event = parked.place.startswith("event:")
        return Dispatch(message=message, to=parked.queue, event=event, properties=properties | {RETRY: "1"})

    def _select(self, query: sa.Select[Any]) -> Sequence[Parked]:
        return [_parked(row) for row in self._db.select(query)]


_at = tables.parked.c


def _by_place(keys: Sequence[Key]) -> list[tuple[str, list[str]]]:
    """Ids by place, both sorted: whoever acts at the same time locks in the same order."""
    places: dict[str, set[str]] = {}
    for id, place in keys:
        places.setdefault(place, set()).add(id)
    return [(place, sorted(places[place])) for place in sorted(places)]


def _meant(chosen: Chosen) -> list[Any]:
    equal = {name: getattr(chosen, name) for name in ("place", "kind", "type", "subject", "status")}
    found = [_at[name] == value for name, value in (equal | {"shape": chosen.error}).items() if value]
    if chosen.id:
        found += [_at.message_id >= chosen.id, _at.message_id < chosen.id + "\U0010ffff"]
    return found if chosen.until is None else [*found, _at.parked_at <= chosen.until]


def _columns() -> list[sa.Column[Any]]:
    return [_at[name] for name in (*_FIELDS, "message", "properties")]


def _row(parked: Parked, properties: dict[str, str]) -> tuple[Any, ...]:
    """A parked message must always find room: its texts are cleaned, the message itself is packed as it is."""
    m = parked.message
    fields = {name: getattr(parked, name) for name in _FIELDS}
    fields["error"] = cut(parked.error, 8000)
    subject = None if m.subject is None else cut(m.subject, LONGEST_KEY)
    return (
        *fields.values(), cut(m.id, 500), cut(m.type, 500), subject, shape(parked.error),
        pack(m), properties_encoder.encode(properties),
    )  # fmt: skip


def _parked(row: Sequence[Any]) -> Parked:
    *fields, message, properties = row
    return Parked(
        **dict(zip(_FIELDS, fields, strict=True)),
        message=unpack(message),
        properties=properties_decoder.decode(properties),
    )


def _sending(parked: Parked) -> tuple[str, str, str]:
    return parked.place.partition(":")[2], parked.operation, parked.key[0]
