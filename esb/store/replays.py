"""Replays: many parked messages sent on again, a piece at a time, with how far it has come."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from esb.message import new_id
from esb.store.connection import Connection
from esb.store.parked import Key, ParkedMessages
from esb.store.text import cut

PIECE = 200  # messages sent on in one transaction

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, str]]).decode


class Replay(msgspec.Struct, frozen=True):
    """One replay. ``total`` were chosen, ``seen`` are worked off, and of these ``sent`` were still parked.

    Times are epoch seconds; ``ended_at`` 0: it goes on.
    """

    id: str
    who: str
    why: str
    total: int
    seen: int
    sent: int
    started_at: float
    ended_at: float


_FIELDS = ", ".join(Replay.__struct_fields__)


class Replays:
    """The rows of ``replays``, and of ``replay_pieces`` what is left of each."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def start(self, keys: Sequence[Key], who: str, why: str = "") -> str:
        """Choose messages to be sent on; the replay's id."""
        id = new_id()
        chosen = sorted(set(keys))
        self._db.run(
            f"INSERT INTO replays ({_FIELDS}) VALUES (?, ?, ?, ?, 0, 0, ?, ?)",
            (id, cut(who, 200), cut(why, 2000), len(chosen), time.time(), 0.0 if chosen else time.time()),
        )
        pieces = enumerate(chosen[first : first + PIECE] for first in range(0, len(chosen), PIECE))
        self._db.many(
            "INSERT INTO replay_pieces (replay, number, keys) VALUES (?, ?, ?)",
            [(id, number, _encode(piece)) for number, piece in pieces],
        )
        return id

    def step(self, id: str, now: float) -> bool:
        """Send the next piece on, each message once whoever asks and how often; False when nothing is left."""
        found = self._db.row("SELECT who, why FROM replays WHERE id = ? AND ended_at = 0", (id,))
        piece = found and self._db.row(
            "DELETE FROM replay_pieces WHERE replay = ? AND number = (SELECT number FROM replay_pieces "
            f"WHERE replay = ? ORDER BY number LIMIT 1 {self._db.skip_locked}) RETURNING keys",
            (id, id),
        )
        if not piece:
            return False
        keys = _decode(piece[0])
        sent = ParkedMessages(self._db).retry(keys, *found)
        self._db.run("UPDATE replays SET seen = seen + ?, sent = sent + ? WHERE id = ?", (len(keys), len(sent), id))
        self._db.run("UPDATE replays SET ended_at = ? WHERE id = ? AND seen >= total", (now, id))
        return True

    def open(self) -> Sequence[str]:
        """The ids of those that go on, the oldest first."""
        rows = self._db.rows("SELECT id FROM replays WHERE ended_at = 0 ORDER BY started_at, id")
        return [id for (id,) in rows]

    def list(self, limit: int = 100) -> Sequence[Replay]:
        """The newest first."""
        rows = self._db.rows(f"SELECT {_FIELDS} FROM replays ORDER BY started_at DESC, id DESC LIMIT ?", (limit,))
        return [Replay(*row) for row in rows]

    def get(self, id: str) -> Replay | None:
        """One of them."""
        row = self._db.row(f"SELECT {_FIELDS} FROM replays WHERE id = ?", (id,))
        return Replay(*row) if row else None
