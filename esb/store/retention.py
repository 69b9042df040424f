"""Retention: what is old enough is deleted, a little at a time, so that nobody has to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from esb.store.connection import Connection

FOR_EVER = 1e12  # seconds


class Retention(Protocol):
    """How long the store remembers, in seconds."""

    @property
    def messages(self) -> float: ...

    @property
    def inbox(self) -> float: ...

    @property
    def audit(self) -> float | None: ...


# Leases that no other process will ever ask for. Of the others the fence has to be remembered.
_OF_PROCESSES = "name >= 'role:' AND name < 'role;' OR name >= 'owner:' AND name < 'owner;'"


class _Rule:
    """Rows of ``table`` that are old; ``keys`` is its primary key."""

    def __init__(self, table: str, keys: str, old: str, age: Callable[[Retention], float]) -> None:
        self.table, self.age = table, age
        self.sql = f"DELETE FROM {table} WHERE ({keys}) IN (SELECT {keys} FROM {table} WHERE {old} LIMIT ?)"


def rules() -> Iterator[_Rule]:
    """What may go. What waits for a person, a retry or a publish stays, however old."""
    yield _Rule("audit", "id", "at < ?", lambda r: FOR_EVER if r.audit is None else r.audit)
    yield _Rule("hops", "message_id, place", "received_at < ? AND status > 21", lambda r: r.messages)
    yield _Rule(
        "parked", "message_id, place", "parked_at < ? AND status IN ('discarded', 'resolved')", lambda r: r.messages
    )
    yield _Rule("suspects", "message_id, place", "at < ?", lambda r: r.messages)
    yield _Rule("inbox", "message_id, endpoint, operation", "at < ? AND state > 1", lambda r: r.inbox)
    yield _Rule("continuations", "id", "at < ?", lambda r: r.inbox)
    yield _Rule("leases", "name", f"expires_at < ? AND ({_OF_PROCESSES})", lambda r: 86400.0)
    yield _Rule("sessions", "id", "expires_at < ?", lambda r: 0.0)
    yield _Rule("links", "id", "expires_at < ?", lambda r: 0.0)
    yield _Rule("replays", "id", "ended_at < ? AND ended_at > 0", lambda r: r.messages)
    yield _Rule("sagas", "id", "ended_at < ?", lambda r: r.messages)
    yield _Rule("groups", "id", "closed_at < ?", lambda r: r.inbox)
    yield _Rule("groups", "id", "forget_at < ? AND closed_at IS NULL", lambda r: 0.0)
    yield _Rule("group_members", "flow, step, member_id", "left_at < ?", lambda r: r.inbox)
    yield _Rule("claim_checks", "token", "until < ?", lambda r: 0.0)
    yield _Rule("claims", "endpoint, key", "at < ? AND state <> 'open'", lambda r: r.inbox)


def step(connection: Connection, rule: _Rule, now: float, retention: Retention, batch: int) -> int:
    """Delete up to ``batch`` rows; how many they were."""
    return connection.run(rule.sql, (now - rule.age(retention), batch))
