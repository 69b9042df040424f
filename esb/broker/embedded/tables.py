"""The tables of the embedded broker, and every statement on them.

Functions take a ``sqlite3`` connection and leave transactions, waiting and waking to their caller, so that anything
that speaks of queues can stand on them. A message is one row: a number that is its place in the queue and never
comes back, and a state. What it carries lies in ``body``, so that taking it rewrites a few bytes and not the whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from esb.errors import BrokerDown

VERSION = 2  # of the schema, kept in the file's user_version

READY, DELAYED, LEASED = 0, 1, 2

_LARGE = 1024**2  # bytes of a message that are worth a statement more, to be let go
_BODY = "INSERT INTO body SELECT ?1, ?2, ?3 WHERE ?1 IS NOT NULL"

Row = tuple[int, int, float, bytes | None, bytes]  # queue, state, visible_at, properties, message
Taken = tuple[int, int, bytes | None, bytes]  # id, attempts, properties, message

_SCHEMA = """
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    capacity INTEGER NOT NULL DEFAULT 0,
    single INTEGER NOT NULL DEFAULT 0,
    holder INTEGER
) STRICT;
CREATE TABLE binding (
    queue INTEGER NOT NULL REFERENCES queue (id),
    pattern TEXT NOT NULL,
    PRIMARY KEY (queue, pattern)
) STRICT, WITHOUT ROWID;
CREATE TABLE topology (version INTEGER NOT NULL) STRICT;
INSERT INTO topology VALUES (1);
CREATE TABLE owner (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL
) STRICT;
CREATE TABLE sequence (last INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES (0);
CREATE TABLE msg (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES queue (id),
    state INTEGER NOT NULL,
    visible_at REAL NOT NULL DEFAULT 0,
    owner INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE body (
    id INTEGER PRIMARY KEY,
    properties BLOB,
    message BLOB NOT NULL
) STRICT;
CREATE TRIGGER body_goes_with_msg AFTER DELETE ON msg BEGIN DELETE FROM body WHERE id = old.id; END;
CREATE INDEX msg_ready ON msg (queue, id) WHERE state = 0;
CREATE INDEX msg_delayed ON msg (queue, visible_at) WHERE state = 1;
CREATE INDEX msg_leased ON msg (owner, queue) WHERE state = 2;
"""
_SINGLE = """
ALTER TABLE queue ADD COLUMN single INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN holder INTEGER;
"""


def create(sql: sqlite3.Connection) -> None:
    """Make the tables if the file is new, and add what an older release's lack.

    Raises ``BrokerDown`` if a newer release made them.
    """
    found = sql.execute("PRAGMA user_version").fetchone()[0]
    if found < VERSION:
        change = _SCHEMA if found == 0 else _SINGLE
        sql.executescript(f"BEGIN IMMEDIATE;{change}PRAGMA user_version={VERSION};COMMIT;")
    elif found != VERSION:
        raise BrokerDown(
            f"the broker's database has format {found}, this release reads {VERSION}: run the release that made it, "
            "let its queues drain, and move the file away"
        )


# --- topology -----------------------------------------------------------------------------------------------------


def add_queue(sql: sqlite3.Connection, name: str, capacity: int, single: bool = False) -> int:
    """Make sure a queue exists, and return its id. What one that exists is like (its capacity: 0 for none) stays."""
    sql.execute(
        "INSERT INTO queue (name, capacity, single) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        (name, capacity, single),
    )
    return sql.execute("SELECT id FROM queue WHERE name = ?", (name,)).fetchone()[0]


def bind(sql: sqlite3.Connection, queue: int, pattern: str) -> None:
    """Let events whose routing key matches come into a queue."""
    sql.execute("INSERT INTO binding VALUES (?, ?) ON CONFLICT DO NOTHING", (queue, pattern))


def unbind(sql: sqlite3.Connection, queue: str, pattern: str) -> None:
    """Take a binding away; one that does not exist is no error."""
    sql.execute(
        "DELETE FROM binding WHERE pattern = ? AND queue = (SELECT id FROM queue WHERE name = ?)", (pattern, queue)
    )


def topology_changed(sql: sqlite3.Connection) -> None:
    """Make every connection read queues and bindings again."""
    sql.execute("UPDATE topology SET version = version + 1")


def topology_version(sql: sqlite3.Connection) -> int:
    """A number that grows with every change of queues and bindings."""
    return sql.execute("SELECT version FROM topology").fetchone()[0]


def queues(sql: sqlite3.Connection) -> list[tuple[str, int, int]]:
    """Name, id and capacity of each queue."""
    return sql.execute("SELECT name, id, capacity FROM queue").fetchall()


def singles(sql: sqlite3.Connection) -> set[int]:
    """The queues from which one owner takes at a time."""
    return {id for (id,) in sql.execute("SELECT id FROM queue WHERE single")}


def holder(sql: sqlite3.Connection, queue: int) -> int | None:
    """The owner that takes from such a queue, or None where anybody may become it."""
    return sql.execute("SELECT holder FROM queue WHERE id = ?", (queue,)).fetchone()[0]


def hold(sql: sqlite3.Connection, queue: int, owner: int) -> bool:
    """Become the owner that takes from such a queue; False when another one is."""
    found = holder(sql, queue)
    if found is None:
        sql.execute("UPDATE queue SET holder = ? WHERE id = ?", (owner, queue))
    return found in (None, owner)


def bindings(sql: sqlite3.Connection) -> list[tuple[str, int]]:
    """Pattern and queue id of each binding, in the order of queues."""
    return sql.execute("SELECT pattern, queue FROM binding ORDER BY queue, pattern").fetchall()


# --- messages -----------------------------------------------------------------------------------------------------


def insert(sql: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Put messages behind all others of their queues."""
    if not rows:
        return
    (last,) = sql.execute("UPDATE sequence SET last = last + ? RETURNING last", (len(rows),)).fetchall()[0]
    ids = range(last - len(rows) + 1, last + 1)
    sql.executemany(
        "INSERT INTO msg (id, queue, state, visible_at) VALUES (?, ?, ?, ?)",
        [(id, queue, state, visible_at) for id, (queue, state, visible_at, _, _) in zip(ids, rows, strict=True)],
    )
    sql.executemany(_BODY, [(id, row[3], row[4]) for id, row in zip(ids, rows, strict=True)])
    if any(len(row[4]) > _LARGE for row in rows):
        sql.execute(_BODY, (None, None, None))  # a prepared statement keeps the last values it was given


def readiness(sql: sqlite3.Connection, queue: int) -> tuple[int, float | None]:
    """Whether a queue has ready messages, and when (seconds since the epoch) its next delayed one is due."""
    return sql.execute(
        "SELECT EXISTS (SELECT 1 FROM msg WHERE queue = ?1 AND state = 0),"
        " (SELECT min(visible_at) FROM msg WHERE queue = ?1 AND state = 1)",
        (queue,),
    ).fetchone()


def promote(sql: sqlite3.Connection, queue: int, now: float, limit: int = 1000) -> None:
    """Make delayed messages ready whose time has come, the longest due first."""
    sql.execute(
        "UPDATE msg SET state = 0 WHERE id IN"
        " (SELECT id FROM msg WHERE queue = ? AND state = 1 AND visible_at <= ? ORDER BY visible_at LIMIT ?)",
        (queue, now, limit),
    )


def claim(sql: sqlite3.Connection, queue: int, owner: int, limit: int, octets: int) -> list[Taken]:
    """Lease the first ready messages of a queue to an owner, in order.

    Args:
        limit: at most so many, and no further ones once they have ``octets`` bytes together.
    """
    taken: list[Taken] = []
    for row in sql.execute(
        "SELECT msg.id, attempts, properties, message FROM msg INDEXED BY msg_ready JOIN body ON body.id = msg.id"
        " WHERE queue = ? AND state = 0 ORDER BY msg.id LIMIT ?",
        (queue, limit),
    ):
        taken.append(row)
        octets -= len(row[3])
        if octets <= 0:
            break
    if taken:
        # All that is ready up to the last of them: exactly these.
        sql.execute(
            "UPDATE msg SET state = 2, owner = ? WHERE queue = ? AND state = 0 AND id <= ?",
            (owner, queue, taken[-1][0]),
        )
    return taken


def settle(sql: sqlite3.Connection, owner: int, ids: Sequence[int]) -> int:
    """Delete what an owner is done with; how many of them were still its own."""
    return sql.executemany("DELETE FROM msg WHERE id = ? AND owner = ?", [(id, owner) for id in ids]).rowcount


def release(sql: sqlite3.Connection, owner: int, ids: Sequence[int]) -> int:
    """Put back what an owner took, at its place and unblamed; how many of them were still its own."""
    return sql.executemany(
        "UPDATE msg SET state = 0, owner = NULL WHERE id = ? AND owner = ?", [(id, owner) for id in ids]
    ).rowcount


def reclaim(sql: sqlite3.Connection, owner: int) -> list[int]:
    """Put back all that an owner holds, counted as an attempt; the queues that got something.

    Queues from which it alone took have no holder then.
    """
    sql.execute("UPDATE queue SET holder = NULL WHERE holder = ?", (owner,))
    found = sql.execute("SELECT DISTINCT queue FROM msg WHERE owner = ? AND state = 2", (owner,)).fetchall()
    if found:
        sql.execute(
            "UPDATE msg SET state = 0, owner = NULL, attempts = attempts + 1 WHERE owner = ? AND state = 2", (owner,)
        )
    return [queue for (queue,) in found]


def held(sql: sqlite3.Connection, owner: int) -> dict[int, int]:
    """The messages an owner holds, with their sizes in bytes."""
    return dict(
        sql.execute(
            "SELECT msg.id, length(message) FROM msg JOIN body ON body.id = msg.id WHERE owner = ? AND state = 2",
            (owner,),
        )
    )


def waiting(sql: sqlite3.Connection, queue: int, limit: int) -> int:
    """How many ready messages a queue has, counted no further than ``limit``."""
    return sql.execute(
        "SELECT count(*) FROM (SELECT 1 FROM msg WHERE queue = ? AND state = 0 LIMIT ?)", (queue, limit)
    ).fetchone()[0]


def depth(sql: sqlite3.Connection, queue: int, now: float) -> tuple[int, int]:
    """How many messages of a queue wait (the ones just due among them), and how many are leased."""
    return sql.execute(
        "SELECT (SELECT count(*) FROM msg WHERE queue = ?1 AND state = 0)"
        " + (SELECT count(*) FROM msg WHERE queue = ?1 AND state = 1 AND visible_at <= ?2),"
        " (SELECT count(*) FROM msg INDEXED BY msg_leased WHERE queue = ?1 AND state = 2)",
        (queue, now),
    ).fetchone()


def delayed(sql: sqlite3.Connection, now: float) -> int:
    """How many messages of all queues wait for their time."""
    return sql.execute(
        "SELECT count(*) FROM msg INDEXED BY msg_delayed WHERE state = 1 AND visible_at > ?", (now,)
    ).fetchone()[0]


def purge(sql: sqlite3.Connection, queue: int, now: float) -> int:
    """Drop what waits in a queue; how many they were."""
    promote(sql, queue, now, -1)
    return sql.execute("DELETE FROM msg WHERE queue = ? AND state = 0", (queue,)).rowcount


# --- owners -------------------------------------------------------------------------------------------------------


def add_owner(sql: sqlite3.Connection, name: str) -> int:
    """A fresh owner; its id never comes back, so that whoever lost a lease cannot settle another's."""
    return sql.execute("INSERT INTO owner (name) VALUES (?) RETURNING id", (name,)).fetchall()[0][0]


def remove_owner(sql: sqlite3.Connection, owner: int) -> None:
    """Forget an owner that holds nothing any more."""
    sql.execute("DELETE FROM owner WHERE id = ?", (owner,))


def owners(sql: sqlite3.Connection) -> list[int]:
    """All owners, living or dead."""
    return [id for (id,) in sql.execute("SELECT id FROM owner")]
