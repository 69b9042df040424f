"""The inbox: the idempotent receiver's memory of what each endpoint was sent (Hohpe and Woolf, Idempotent Receiver)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal

import msgspec

from esb.store.connection import Connection

Key = tuple[str, str, str]  # endpoint, operation, message id
_STATES = {"started": 1, "done": 2, "rejected": 3}
_NAMES: dict[int, Any] = {number: name for name, number in _STATES.items()}
_COLUMNS = "endpoint, operation, message_id, state, owner, fence, at, reply"


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``started``: the send was about to begin. ``done``: the effect took place, and this is what came back.

    ``rejected``: whoever asked for it was told that it failed, and this is what was said.
    """

    endpoint: str
    operation: str
    message_id: str
    state: Literal["started", "done", "rejected"] = "started"
    owner: str = ""
    fence: int = 0
    at: float = 0.0
    reply: bytes | None = None

    @property
    def key(self) -> Key:
        return self.endpoint, self.operation, self.message_id


class Inbox:
    """The rows of ``inbox``, one per endpoint, operation and message."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def seen(self, endpoint: str, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], InboxEntry]:
        """What is known of these (operation, message id), in one query."""
        wanted = set(keys)
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM inbox WHERE {self._db.one_of('message_id')} AND endpoint = ?",
            (self._db.listed(sorted({id for _, id in wanted})), endpoint),
        )
        found = {(entry.operation, entry.message_id): entry for entry in map(self._entry, rows)}
        return {key: found[key] for key in found.keys() & wanted}

    def start(self, entries: Sequence[InboxEntry]) -> set[Key]:
        """Say, before the send, that it begins. Returns the keys that are ours to send.

        A key left out was started by another owner, or is done: ``seen`` tells. Two that race never both get it.
        """
        rows = [self._row(entry, "started") for entry in entries]
        self._db.many(f"{_INSERT} DO NOTHING", sorted(rows, key=itemgetter(2, 0, 1)))
        ours: set[Key] = set()
        for endpoint in {entry.endpoint for entry in entries}:
            mine = {e.key[1:]: (e.owner, e.fence) for e in entries if e.endpoint == endpoint}
            for key, known in self.seen(endpoint, list(mine)).items():
                if known.state == "started" and (known.owner, known.fence) == mine[key]:
                    ours.add(known.key)
        return ours

    def take_over(self, known: InboxEntry, owner: str, fence: int) -> bool:
        """Start again what ``known`` (a dead owner's) had started; False when somebody else was quicker."""
        changed = self._db.run(
            "UPDATE inbox SET owner = ?, fence = ? WHERE message_id = ? AND endpoint = ? AND operation = ? "
            "AND state = 1 AND owner = ? AND fence = ?",
            (owner, fence, known.message_id, known.endpoint, known.operation, known.owner, known.fence),
        )
        return changed == 1

    def over(self, keys: Sequence[Key]) -> set[Key]:
        """Those of which it is known how they ended; nobody can say so of another until this transaction ends."""
        ended = f"SELECT state FROM inbox WHERE endpoint = ? AND operation = ? AND message_id = ? {self._db.for_update}"
        return {key for key in sorted(keys) if (row := self._db.row(ended, key)) and _NAMES[row[0]] != "started"}

    def done(self, entries: Sequence[InboxEntry]) -> None:
        """The effects took place; the first to say so stays."""
        self._end(entries, "done")

    def rejected(self, entries: Sequence[InboxEntry]) -> None:
        """Whoever asked for these is told that they failed; what is done stays."""
        self._end(entries, "rejected")

    def _end(self, entries: Sequence[InboxEntry], state: str) -> None:
        update = (
            "DO UPDATE SET state = excluded.state, owner = excluded.owner, fence = excluded.fence, at = excluded.at, "
            "reply = excluded.reply WHERE inbox.state <> 2"
        )
        rows = [self._row(entry, state) for entry in entries]
        self._db.many(f"{_INSERT} {update}", sorted(rows, key=itemgetter(2, 0, 1)))

    def clear(self, keys: Sequence[Key]) -> None:
        """Forget what was started: certainly nothing happened, or a person decided. What is done stays."""
        self._db.many(
            "DELETE FROM inbox WHERE endpoint = ? AND operation = ? AND message_id = ? AND state = 1", list(keys)
        )

    def let_go(self, keys: Sequence[Key]) -> None:
        """These were started, and their owner leaves them, in doubt, to whoever gets the message next."""
        self._db.many(
            "UPDATE inbox SET owner = '' WHERE endpoint = ? AND operation = ? AND message_id = ? AND state = 1",
            list(keys),
        )

    def reopen(self, keys: Sequence[Key]) -> None:
        """Whoever was told that these failed asks for them again."""
        self._db.many(
            "DELETE FROM inbox WHERE endpoint = ? AND operation = ? AND message_id = ? AND state = 3", list(keys)
        )

    def abandoned(self, endpoint: str = "", limit: int = 1000) -> list[InboxEntry]:
        """Started, and no lease of their owner is alive: in doubt. Of one endpoint, or of all."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM inbox WHERE state = 1 AND (? = '' OR endpoint = ?) AND NOT EXISTS "
            f"(SELECT 1 FROM leases WHERE leases.owner = inbox.owner AND leases.expires_at > {self._db.now}) LIMIT ?",
            (endpoint, endpoint, limit),
        )
        return [self._entry(row) for row in rows]

    def _row(self, entry: InboxEntry, state: str) -> tuple[Any, ...]:
        reply = None if entry.reply is None else self._db.seal.close(entry.reply)
        return *entry.key, _STATES[state], entry.owner, entry.fence, entry.at, reply

    def _entry(self, row: Sequence[Any]) -> InboxEntry:
        endpoint, operation, message_id, state, owner, fence, at, reply = row
        return InboxEntry(
            endpoint=endpoint, operation=operation, message_id=message_id, state=_NAMES[state],
            owner=owner, fence=fence, at=at, reply=None if reply is None else self._db.seal.open(reply),
        )  # fmt: skip


_INSERT = (
    f"INSERT INTO inbox ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (message_id, endpoint, operation)"
)
