"""Definitions: the bus directories that were in force, and the one that is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from esb.store.connection import Connection

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, str])


class StoredDefinition(msgspec.Struct, frozen=True):
    """A directory's files (relative name -> text) under the hash of their content. ``activated_at``: epoch seconds."""

    hash: str
    activated_at: float
    files: Mapping[str, str]


class Definitions:
    """The rows of ``definitions``; at most one is active."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def activate(self, hash: str, files: Mapping[str, str]) -> bool:
        """From now on this one is in force; False when it already was."""
        row = self._db.row("SELECT active FROM definitions WHERE hash = ?", (hash,))
        if row and row[0]:
            return False
        self._db.run("UPDATE definitions SET active = ? WHERE active = ?", (False, True))
        self._db.run(
            "INSERT INTO definitions (hash, active, activated_at, files) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET active = excluded.active, activated_at = excluded.activated_at",
            (hash, True, time.time(), _encoder.encode(dict(files))),
        )
        return True

    def active(self) -> StoredDefinition | None:
        """The one in force."""
        return _stored(
            self._db.row(
                "SELECT hash, activated_at, files FROM definitions WHERE active = ? ORDER BY activated_at DESC", (True,)
            )
        )

    def active_hash(self) -> str:
        """The hash of the one in force, or ""; cheap enough to ask every second."""
        row = self._db.row("SELECT hash FROM definitions WHERE active = ? ORDER BY activated_at DESC", (True,))
        return row[0] if row else ""

    def get(self, hash: str) -> StoredDefinition | None:
        """One that is or was in force."""
        return _stored(self._db.row("SELECT hash, activated_at, files FROM definitions WHERE hash = ?", (hash,)))

    def history(self, limit: int = 20) -> list[StoredDefinition]:
        """Those that were in force, the newest first."""
        rows = self._db.rows(
            "SELECT hash, activated_at, files FROM definitions ORDER BY activated_at DESC LIMIT ?", (limit,)
        )
        return [StoredDefinition(row[0], row[1], _decoder.decode(row[2])) for row in rows]


def _stored(row: Sequence[Any] | None) -> StoredDefinition | None:
    return StoredDefinition(row[0], row[1], _decoder.decode(row[2])) if row else None
