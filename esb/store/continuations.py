"""Continuations: where messages go on when their answers arrive, for those too large to travel with the request."""

from __future__ import annotations

from collections.abc import Mapping

from esb.message import new_id
from esb.store.connection import Connection

INLINE = 64 * 1024  # bytes of a continuation that travel with a message: a header has to fit into a frame of 128 KB
_STORED = "store:"
_CONTEXT = "context"  # the property with a continuation, by the name that the broker's port gives it


class Continuations:
    """The rows of ``continuations``. They go by age alone: an answer may come twice."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def keep(self, id: str, content: bytes, at: float) -> None:
        """Keep one under the id of its request; the same again changes nothing. ``at``: epoch seconds."""
        self._db.many(
            "INSERT INTO continuations (id, at, content) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
            [(id, at, self._db.seal.close(content))],
        )

    def get(self, id: str) -> bytes | None:
        """One, or None when it is too old."""
        row = self._db.row("SELECT content FROM continuations WHERE id = ?", (id,))
        return self._db.seal.open(row[0]) if row else None

    def put(self, id: str, content: bytes, at: float) -> str:
        """What a property says of a continuation: all of it, or where it is kept. Arguments as for :meth:`keep`."""
        if not is_large(content):
            return content.decode()
        self.keep(id, content, at)
        return stored(id)

    def read(self, text: str) -> bytes | None:
        """What :meth:`put` gave a property for, or None when it is too old."""
        return self.get(text.removeprefix(_STORED)) if is_stored(text) else text.encode()

    def outgoing(self, properties: Mapping[str, str], at: float) -> dict[str, str]:
        """Properties of a parked message as they can be published: a large continuation is kept here meanwhile."""
        if _CONTEXT not in properties:
            return dict(properties)
        return {**properties, _CONTEXT: self.put(new_id(), properties[_CONTEXT].encode(), at)}

    def whole(self, properties: Mapping[str, str]) -> dict[str, str]:
        """Properties of a message that is parked: it may wait for longer than a continuation is kept here."""
        text = properties.get(_CONTEXT, "")
        content = self.read(text) if is_stored(text) else None
        return {**properties, _CONTEXT: content.decode()} if content else dict(properties)


def is_large(content: bytes) -> bool:
    """Whether it has to be kept in the store."""
    return len(content) > INLINE


def stored(id: str) -> str:
    """What a property says of a continuation that is kept under this id."""
    return _STORED + id


def is_stored(text: str) -> bool:
    """Whether a property says where a continuation is kept."""
    return text.startswith(_STORED)
