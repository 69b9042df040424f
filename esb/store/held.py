"""Held messages: where those of one key go one after the other, what waits for another of its key.

A *line* is the messages of one key at one place, in their order. Only its first may be run; while there is a line, who
comes is put at its end. A key of which nothing failed and nothing waits has no line, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

from esb.message import Message, pack, unpack
from esb.store.connection import Connection
from esb.store.outbox import properties_decoder, properties_encoder
from esb.store.text import cut

_LONGEST = 500  # characters of a key or an id


class Stand(IntEnum):
    """How a message stands in its line."""

    WAITING = 0  # behind others; let go when it is the first
    OUT = 1  # let go, under way elsewhere, or parked: whoever has it tells when it is over
    DUE = 2  # tried again at its time


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a line. ``queue`` is where it goes when it is let go, ``due_at`` (epoch seconds) when."""

    place: str
    key: str
    message: Message
    queue: str
    properties: dict[str, str] = {}
    stand: Stand = Stand.WAITING
    due_at: float | None = None


class Line(msgspec.Struct, frozen=True):
    """A line as people see it: what all others wait for, and how many those are. ``since`` is in epoch seconds."""

    place: str
    key: str
    first: str
    stand: Stand
    behind: int
    since: float


_COLUMNS = "place, key, message_id, stand, due_at, queue, message, properties, at"
_INSERT = f"INSERT INTO held ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (place, message_id) DO "
_FIRSTS = "SELECT min(seq) FROM held WHERE place = ? GROUP BY key"


class HeldMessages:
    """The rows of ``held``, one per message and place."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def firsts(self, place: str, keys: Sequence[str]) -> dict[str, str]:
        """Of each key that has a line: the id of the message that may run."""
        rows = self._db.rows(
            "SELECT key, message_id FROM held WHERE seq IN "
            f"(SELECT min(seq) FROM held WHERE place = ? AND {self._db.one_of('key')} GROUP BY key)",
            (place, self._db.listed([cut(key, _LONGEST) for key in keys])),
        )
        return dict(rows)

    def keys(self, place: str, ids: Sequence[str]) -> dict[str, str]:
        """The keys of messages that stand in a line."""
        wanted = self._db.listed([cut(id, _LONGEST) for id in ids])
        sql = f"SELECT message_id, key FROM held WHERE place = ? AND {self._db.one_of('message_id')}"
        return dict(self._db.rows(sql, (place, wanted)))

    def join(self, rows: Sequence[Held], now: float) -> None:
        """Put these at the ends of their lines, in their order. One that stands there already keeps its place."""
        self._db.many(_INSERT + "NOTHING", [self._row(row, now) for row in rows])

    def stop(self, rows: Sequence[Held], now: float) -> None:
        """These hold up their keys, each at the place it has, or as the first of a new line."""
        self._db.many(
            _INSERT + "UPDATE SET stand = excluded.stand, due_at = excluded.due_at, queue = excluded.queue, "
            "message = excluded.message, properties = excluded.properties",
            [self._row(row, now) for row in rows],
        )

    def over(self, keys: Sequence[tuple[str, str]]) -> None:
        """Of each (message id, place) all is done or given up: the next of its key may follow."""
        rows = sorted({(cut(id, _LONGEST), place) for id, place in keys})
        self._db.many("DELETE FROM held WHERE message_id = ? AND place = ?", rows)

    def let_go(self, place: str, now: float, limit: int) -> list[Held]:
        """The first of each line that has waited for its turn or its time; they count as out from now on.

        Each is given to one caller only. Whoever asks again finds what nobody was told of, so no line stands for ever.
        """
        rows = self._db.rows(
            f"UPDATE held SET stand = 1 WHERE seq IN (SELECT seq FROM held WHERE seq IN ({_FIRSTS}) "
            f"AND (stand = 0 OR (stand = 2 AND due_at <= ?)) ORDER BY seq LIMIT ? {self._db.skip_locked}) "
            f"AND stand <> 1 RETURNING seq, {_COLUMNS}",
            (place, now, limit),
        )
        return [self._held(row[1:]) for row in sorted(rows)]

    def places(self) -> list[str]:
        """Where some key has a line."""
        return [place for (place,) in self._db.rows("SELECT DISTINCT place FROM held ORDER BY place")]

    def dissolve(self, place: str, limit: int) -> list[Held]:
        """The oldest rows of a place are gone, and these are what they held, in their order."""
        rows = self._db.rows(
            "DELETE FROM held WHERE seq IN (SELECT seq FROM held WHERE place = ? ORDER BY seq LIMIT ? "
            f"{self._db.skip_locked}) RETURNING seq, {_COLUMNS}",
            (place, limit),
        )
        return [self._held(row[1:]) for row in sorted(rows)]

    def any(self, place: str) -> bool:
        """Whether some key has a line."""
        return self._db.row("SELECT 1 FROM held WHERE place = ? LIMIT 1", (place,)) is not None

    def lines(self, limit: int = 100) -> list[Line]:
        """Every line, the longest first."""
        rows = self._db.rows(
            "SELECT h.place, h.key, h.message_id, h.stand, n.count - 1, h.at FROM held h "
            "JOIN (SELECT min(seq) AS seq, count(*) AS count FROM held GROUP BY place, key) n ON n.seq = h.seq "
            "ORDER BY n.count DESC, h.seq LIMIT ?",
            (limit,),
        )
        return [Line(place, key, first, Stand(stand), behind, at) for place, key, first, stand, behind, at in rows]

    def _row(self, held: Held, now: float) -> tuple[Any, ...]:
        return (
            held.place, cut(held.key, _LONGEST), cut(held.message.id, _LONGEST), int(held.stand), held.due_at,
            held.queue, self._db.seal.close(pack(held.message)), properties_encoder.encode(held.properties), now,
        )  # fmt: skip

    def _held(self, row: Sequence[Any]) -> Held:
        place, key, _, stand, due_at, queue, message, properties, _ = row
        return Held(
            place=place, key=key, message=unpack(self._db.seal.open(message)), queue=queue,
            properties=properties_decoder.decode(properties), stand=Stand(stand), due_at=due_at,
        )  # fmt: skip
