"""The outbox: messages committed together with state, published after (Richardson, Transactional Outbox)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esb.message import Message, pack, unpack
from esb.store.connection import Connection

properties_encoder = msgspec.msgpack.Encoder()
properties_decoder = msgspec.msgpack.Decoder(dict[str, str])

MOST = 100  # rows of one statement


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One message to publish: to a queue, or with ``event`` under a routing key. ``id`` is the outbox's."""

    message: Message
    to: str
    event: bool = False
    properties: dict[str, str] = {}
    id: int = 0


class Outbox:
    """The rows of ``outbox``, oldest first."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, dispatches: Sequence[Dispatch], at: float | None = None) -> None:
        """To be published once this transaction is committed. ``at``: epoch seconds; now, by the database's clock."""
        close = self._db.seal.close
        self._db.many(
            "INSERT INTO outbox (destination, event, message, properties, created_at) "
            f"VALUES (?, ?, ?, ?, coalesce(?, {self._db.now}))",
            [(d.to, d.event, close(pack(d.message)), properties_encoder.encode(d.properties), at) for d in dispatches],
        )

    def hold(self, dispatches: Sequence[Dispatch], owner: str, seconds: float = 30.0) -> list[Dispatch]:
        """As :meth:`add`, for ``owner`` to publish at once; nobody else gets them for ``seconds``."""
        parts = (dispatches[first : first + MOST] for first in range(0, len(dispatches), MOST))
        ids = [id for part in parts for id in self._held(part, owner, seconds)]
        return [msgspec.structs.replace(d, id=id) for d, id in zip(dispatches, ids, strict=True)]

    def _held(self, dispatches: Sequence[Dispatch], owner: str, seconds: float) -> list[int]:
        """Their ids: the database counts them up in the order of the rows."""
        close, now = self._db.seal.close, self._db.now
        values = [
            (d.to, d.event, close(pack(d.message)), properties_encoder.encode(d.properties), owner, seconds)
            for d in dispatches
        ]
        rows = ", ".join([f"(?, ?, ?, ?, {now}, ?, {now} + ?)"] * len(values))
        columns = "destination, event, message, properties, created_at, taken_by, taken_until"
        ids = self._db.rows(
            f"INSERT INTO outbox ({columns}) VALUES {rows} RETURNING id", [value for row in values for value in row]
        )
        return sorted(row[0] for row in ids)

    def take(self, limit: int, owner: str, seconds: float = 30.0, older_than: float = 0.0) -> list[Dispatch]:
        """Up to ``limit`` for ``owner`` to publish; nobody else gets them for ``seconds``.

        ``older_than`` (seconds) leaves young rows to whoever wrote them.
        """
        rows = self._db.rows(
            f"UPDATE outbox SET taken_by = ?, taken_until = {self._db.now} + ? WHERE id IN (SELECT id FROM outbox "
            f"WHERE taken_until < {self._db.now} AND created_at <= {self._db.now} - ? ORDER BY id LIMIT ? "
            f"{self._db.skip_locked}) RETURNING id, destination, event, message, properties",
            (owner, seconds, older_than, limit),
        )
        return [self._dispatch(row) for row in sorted(rows)]

    def sent(self, ids: Sequence[int]) -> None:
        """These are confirmed by the broker."""
        if ids:
            self._db.run(f"DELETE FROM outbox WHERE {self._db.one_of('id')}", (self._db.listed(ids),))

    def give_back(self, ids: Sequence[int], owner: str) -> None:
        """``owner`` could not publish these, which is not their fault: whoever comes next may."""
        self._db.run(
            f"UPDATE outbox SET taken_until = 0 WHERE {self._db.one_of('id')} AND taken_by = ?",
            (self._db.listed(ids), owner),
        )

    def inherit(self, owner: str) -> None:
        """``owner`` is gone: what it was to publish is anybody's now. Waits for nobody."""
        self._db.run(
            f"UPDATE outbox SET taken_until = 0 WHERE id IN (SELECT id FROM outbox WHERE taken_until > {self._db.now} "
            f"AND taken_by = ? {self._db.skip_locked})",
            (owner,),
        )

    def due(self) -> bool:
        """Whether :meth:`take` would find any. A look by itself is cheaper than a transaction that may write."""
        return self._db.row(f"SELECT 1 FROM outbox WHERE taken_until < {self._db.now} LIMIT 1") is not None

    def count(self) -> int:
        """How many wait."""
        return int(self._db.row("SELECT count(*) FROM outbox")[0])

    def _dispatch(self, row: Sequence[Any]) -> Dispatch:
        id, to, event, message, properties = row
        return Dispatch(
            id=id,
            to=to,
            event=bool(event),
            message=unpack(self._db.seal.open(message)),
            properties=properties_decoder.decode(properties),
        )
