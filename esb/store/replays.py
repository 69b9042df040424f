"""Replays: many parked messages sent on again, a portion at a time, with how far each has come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from esb.message import new_id
from esb.store.audit import Audit
from esb.store.connection import Connection
from esb.store.parked import Key, ParkedMessages
from esb.store.text import cut

PIECE = 200  # messages of one row, and of one transaction

State = Literal["running", "paused", "stopped", "cancelled", "done"]


class Plan(msgspec.Struct, frozen=True):
    """How carefully to go about it.

    ``steps``: messages of the first step, the second and so on; the last number goes for all further ones, none: all
    at once. A step begins when what came of the one before it is known. ``rate``: messages a second at the most, 0:
    as many as there is room for. ``tolerate``: new failures that are accepted before it stops; -1: any number.
    """

    steps: tuple[int, ...] = ()
    rate: float = 0.0
    tolerate: int = -1

    def size(self, step: int, rest: int) -> int:
        """Messages of a step (from 1) when ``rest`` are left."""
        return min(self.steps[min(step, len(self.steps)) - 1], rest) if self.steps else rest


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """One replay. ``total`` were chosen, ``seen`` are worked off, and of these ``sent`` were still parked.

    ``rest`` of the ``step`` under way (0: none yet) are still to be sent; ``failed`` again have failed since it began,
    or was resumed. Times are epoch seconds; ``next_at``: it rests until then; ``ended_at`` 0: it is not over.
    """

    id: str
    who: str
    why: str
    total: int
    seen: int = 0
    sent: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    steps: str = ""
    rate: float = 0.0
    tolerate: int = -1
    state: State = "running"
    step: int = 0
    rest: int = 0
    failed: int = 0
    next_at: float = 0.0
    note: str = ""

    @property
    def plan(self) -> Plan:
        return Plan(tuple(map(int, self.steps.split(","))) if self.steps else (), self.rate, self.tolerate)


class Watched(msgspec.Struct):
    """What a step has sent on, by correlation id, and what stood there of these families when it was sent.

    ``calm``: looks in a row at which nothing was moving.
    """

    families: list[str] = []
    failures: int = 0
    in_flight: int = 0
    calm: int = 0


class Look(msgspec.Struct, frozen=True):
    """What stands in the journeys of families: hops that go on by themselves, that wait for a person, and commands
    on their way."""

    moving: int
    failures: int
    in_flight: int


_FIELDS = Replay.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)
_KEPT = ("id", "who", "why", "total", "started_at", "steps", "rate", "tolerate")  # never change
_CHANGED = [name for name in _FIELDS if name not in _KEPT]
_encode = msgspec.msgpack.Encoder().encode
_keys = msgspec.msgpack.Decoder(list[tuple[str, str]]).decode
_watched = msgspec.msgpack.Decoder(Watched).decode
# A message that came in is in flight until each of its copies has a row; a command until its endpoint has one.
_LOOK = """
WITH family AS (SELECT message_id, place, status, sent FROM hops WHERE {of_families}),
     copies AS (SELECT sum(CASE WHEN place >= 'in:' AND place < 'in;' THEN sent ELSE -1 END) AS missing FROM family
                WHERE (place >= 'flow:' AND place < 'in;') OR (place >= 'saga:' AND place < 'saga;')
                GROUP BY message_id)
SELECT coalesce(sum(CASE WHEN status IN (10, 11) THEN 1 ELSE 0 END), 0),
       coalesce(sum(CASE WHEN status IN (20, 21) THEN 1 ELSE 0 END), 0),
       coalesce(sum(CASE WHEN place >= 'out:' AND place < 'out;' THEN -1
                         WHEN place >= 'in:' AND place < 'in;' THEN 0 ELSE sent END), 0)
       + coalesce((SELECT sum(missing) FROM copies WHERE missing > 0), 0)
FROM family
"""


class Replays:
    """The rows of ``replays``, and of ``replay_pieces`` what is left of each."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def start(self, keys: Sequence[Key], who: str, why: str = "", plan: Plan = Plan()) -> str:  # noqa: B008 - frozen
        """Choose messages to be sent on; the replay's id."""
        chosen, now = sorted(set(keys)), time.time()
        replay = Replay(
            id=new_id(), who=cut(who, 200), why=cut(why, 2000), total=len(chosen), started_at=now,
            ended_at=0.0 if chosen else now, state="running" if chosen else "done",
            steps=",".join(map(str, plan.steps)), rate=plan.rate, tolerate=plan.tolerate,
        )  # fmt: skip
        marks = ", ".join("?" * len(_FIELDS))
        self._db.run(f"INSERT INTO replays ({_COLUMNS}) VALUES ({marks})", msgspec.structs.astuple(replay))
        pieces = enumerate(chosen[first : first + PIECE] for first in range(0, len(chosen), PIECE))
        self._db.many(
            "INSERT INTO replay_pieces (replay, number, keys) VALUES (?, ?, ?)",
            [(replay.id, number, _encode(piece)) for number, piece in pieces],
        )
        return replay.id

    def hold(self, id: str) -> tuple[Replay, Watched] | None:
        """One of them, for this transaction alone: whoever else wants it waits. None: there is none."""
        row = self._db.row(f"SELECT {_COLUMNS}, watched FROM replays WHERE id = ? {self._db.for_update}", (id,))
        return None if row is None else (Replay(**_named(row[:-1])), _watched(row[-1]) if row[-1] else Watched())

    def save(self, replay: Replay, watched: Watched) -> None:
        """What has become of one that this transaction holds."""
        values = [getattr(replay, name) for name in _CHANGED]
        sets = ", ".join(f"{name} = ?" for name in (*_CHANGED, "watched"))
        self._db.run(f"UPDATE replays SET {sets} WHERE id = ?", (*values, _encode(watched), replay.id))

    def send(self, replay: Replay, most: int) -> tuple[Sequence[Key], int]:
        """Send its next messages on, at most :data:`PIECE`, each once whoever asks and how often.

        Those that were sent on, and how many are worked off: some may have been sent on or given up by somebody else.
        """
        keys = self._take(replay.id, min(most, PIECE))
        return ParkedMessages(self._db).retry(keys, replay.who, replay.why), len(keys)

    def families(self, keys: Sequence[Key]) -> list[str]:
        """The correlation ids of messages."""
        rows = self._db.rows(
            f"SELECT DISTINCT correlation_id FROM hops WHERE {self._db.one_of('message_id')}",
            (self._db.listed(sorted({id for id, _ in keys})),),
        )
        return sorted(id for (id,) in rows)

    def look(self, families: Sequence[str]) -> Look:
        """What stands in the journeys of these families now."""
        row = self._db.row(
            _LOOK.format(of_families=self._db.one_of("correlation_id")), (self._db.listed(list(families)),)
        )
        return Look(*map(int, row))

    def drop(self, id: str) -> None:
        """What is left of one is not sent on: it stays parked."""
        self._db.run("DELETE FROM replay_pieces WHERE replay = ?", (id,))

    def note(self, id: str, act: str, who: str, why: str) -> None:
        """Somebody acted on it; for the audit."""
        Audit(self._db).append(who, act, f"replay:{id}", why)

    def due(self, now: float) -> Sequence[str]:
        """The ids of those that have something to do, the oldest first."""
        rows = self._db.rows(
            "SELECT id FROM replays WHERE ended_at = 0 AND state = 'running' AND next_at <= ? ORDER BY started_at, id",
            (now,),
        )
        return [id for (id,) in rows]

    def open(self) -> Sequence[Replay]:
        """Those that are not over, the oldest first."""
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM replays WHERE ended_at = 0 ORDER BY started_at, id")
        return [Replay(**_named(row)) for row in rows]

    def list(self, limit: int = 100) -> Sequence[Replay]:
        """The newest first."""
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM replays ORDER BY started_at DESC, id DESC LIMIT ?", (limit,))
        return [Replay(**_named(row)) for row in rows]

    def get(self, id: str) -> Replay | None:
        """One of them."""
        row = self._db.row(f"SELECT {_COLUMNS} FROM replays WHERE id = ?", (id,))
        return Replay(**_named(row)) if row else None

    def _take(self, id: str, most: int) -> Sequence[Key]:
        row = self._db.row("SELECT number, keys FROM replay_pieces WHERE replay = ? ORDER BY number LIMIT 1", (id,))
        if row is None:
            return []
        number, keys = row[0], _keys(row[1])
        if len(keys) > most:
            self._db.run(
                "UPDATE replay_pieces SET keys = ? WHERE replay = ? AND number = ?", (_encode(keys[most:]), id, number)
            )
        else:
            self._db.run("DELETE FROM replay_pieces WHERE replay = ? AND number = ?", (id, number))
        return keys[:most]


def _named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_FIELDS, row, strict=True))
