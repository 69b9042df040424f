"""The tables, as one SQLAlchemy ``MetaData``: what the migrations must arrive at, and where column names come from.

Times are seconds since the epoch, UTC, as doubles. Ids are text. No foreign keys: a row about a message may be
written before, after or without the row of the message it came from. Keys compare by bytes (collation "C") on
PostgreSQL, as they do on SQLite, so that prefix searches are ranges on both.
"""

from __future__ import annotations

from esb.store.tables.base import metadata
from esb.store.tables.messages import (
    claims,
    continuations,
    held,
    hops,
    inbox,
    outbox,
    parked,
    replay_pieces,
    replays,
    suspects,
    timers,
)
from esb.store.tables.people import audit, links, sessions, users
from esb.store.tables.running import breakers, leases, pauses, probes, switches
from esb.store.tables.state import claim_checks, definitions, group_members, groups, sagas, schedules

__all__ = [
    "audit",
    "breakers",
    "claim_checks",
    "claims",
    "continuations",
    "definitions",
    "group_members",
    "groups",
    "held",
    "hops",
    "inbox",
    "leases",
    "links",
    "metadata",
    "outbox",
    "parked",
    "pauses",
    "probes",
    "replay_pieces",
    "replays",
    "sagas",
    "schedules",
    "sessions",
    "suspects",
    "switches",
    "timers",
    "users",
]
