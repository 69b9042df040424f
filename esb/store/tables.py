"""The tables, as one SQLAlchemy ``MetaData``: what the migrations must arrive at, and where column names come from.

Times are seconds since the epoch, UTC, as doubles. Ids are text. No foreign keys: a row about a message may be
written before, after or without the row of the message it came from. Keys compare by bytes (collation "C") on
PostgreSQL, as they do on SQLite, so that prefix searches are ranges on both.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = sa.MetaData(naming_convention=NAMES)

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up only an INTEGER primary key

hops = sa.Table(
    "hops",
    metadata,
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("place", KEY, primary_key=True),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("operation", sa.Text),
    sa.Column("correlation_id", KEY, nullable=False),
    sa.Column("causation_id", KEY),
    sa.Column("type", KEY, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("subject", KEY),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error_kind", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("sent", sa.Integer, nullable=False),
    sa.Column("published", sa.Integer, nullable=False),
    sa.Column("definition", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("content_type", sa.Text),
    # The large ones come last: SQLite reads a row from the left and stops where it has what it needs.
    sa.Column("steps", sa.LargeBinary),
    sa.Column("headers", sa.LargeBinary),
    sa.Column("body", sa.LargeBinary),
)
# Each index costs every row, so there are few, and what most rows do not need is partial.
sa.Index("ix_hops_correlation_id", hops.c.correlation_id)
sa.Index("ix_hops_received_at", hops.c.received_at)
sa.Index(
    "ix_hops_subject",
    hops.c.subject,
    sqlite_where=hops.c.subject.is_not(None),
    postgresql_where=hops.c.subject.is_not(None),
)
sa.Index(
    "ix_hops_open",
    hops.c.status,
    hops.c.received_at,
    sqlite_where=hops.c.status < 30,
    postgresql_where=hops.c.status < 30,
)

# What came in, by time: the figures of the overview read it and no row.
sa.Index(
    "ix_hops_entries",
    hops.c.received_at,
    hops.c.place,
    hops.c.status,
    sqlite_where=sa.text("place >= 'in:' AND place < 'in;'"),
    postgresql_where=sa.text("place >= 'in:' AND place < 'in;'"),
)

inbox = sa.Table(
    "inbox",
    metadata,
    # The message comes first in the key: ids sort by time, so new rows lie together at the end of the index.
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("operation", KEY, primary_key=True),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("owner", KEY, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("reply", sa.LargeBinary),
    sa.Index("ix_inbox_at", "at"),
    sa.Index("ix_inbox_started", "owner", sqlite_where=sa.text("state = 1"), postgresql_where=sa.text("state = 1")),
    sqlite_with_rowid=False,
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", SERIAL, primary_key=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("event", sa.Boolean, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),
    sa.Column("properties", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("taken_by", sa.Text),
    sa.Column("taken_until", sa.Double, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

continuations = sa.Table(
    "continuations",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index("ix_continuations_at", "at"),
)

timers = sa.Table(
    "timers",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),
    sa.Column("properties", sa.LargeBinary, nullable=False),
    sa.Index("ix_timers_due_at", "due_at"),
)

parked = sa.Table(
    "parked",
    metadata,
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("place", KEY, primary_key=True),
    sa.Column("status", KEY, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("type", KEY, nullable=False),
    sa.Column("subject", KEY),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("first_failed", sa.Double, nullable=False),
    sa.Column("parked_at", sa.Double, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("properties", sa.LargeBinary, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    sa.Index("ix_parked_status_parked_at", "status", "parked_at"),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("key", KEY, primary_key=True),
    sa.Column("claim_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("repeats", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("ix_claims_at", "at"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("owner", KEY, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Index("ix_leases_owner", "owner"),
)

breakers = sa.Table(
    "breakers",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("probe_at", sa.Double, nullable=False),
    sa.Column("probe_owner", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

# The revision is the row whose key is empty.
switches = sa.Table(
    "switches",
    metadata,
    sa.Column("kind", KEY, primary_key=True),
    sa.Column("name", KEY, primary_key=True),
    sa.Column("key", KEY, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

suspects = sa.Table(
    "suspects",
    metadata,
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("place", KEY, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

definitions = sa.Table(
    "definitions",
    metadata,
    sa.Column("hash", KEY, primary_key=True),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("activated_at", sa.Double, nullable=False),
    sa.Column("files", sa.LargeBinary, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", SERIAL, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("target", KEY, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("signed_in_at", sa.Double),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("user_name", KEY, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Index("ix_sessions_user_name", "user_name"),
)

links = sa.Table(
    "links",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("user_name", KEY, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("base", sa.Double, nullable=False),
    sa.Column("sent", sa.Double, nullable=False),
    sa.Column("sent_at", sa.Double, nullable=False),
    sa.Column("done", sa.Double, nullable=False),
    sa.Column("done_at", sa.Double, nullable=False),
    sa.Column("previous", sa.Double, nullable=False),
    sa.Column("wanted", sa.Double, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

probes = sa.Table(
    "probes",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("ms", sa.Double, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("sent", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double, nullable=False),
    sa.Index("ix_replays_ended_at", "ended_at"),
)

replay_pieces = sa.Table(
    "replay_pieces",
    metadata,
    sa.Column("replay", KEY, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("keys", sa.LargeBinary, nullable=False),
)

groups = sa.Table(
    "groups",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("flow", KEY, nullable=False),
    sa.Column("step", KEY, nullable=False),
    sa.Column("key", KEY, nullable=False),
    sa.Column("kind", KEY, nullable=False),
    sa.Column("definition", KEY, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("waits", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
    sa.Column("due_at", sa.Double),
    sa.Column("forget_at", sa.Double),
    sa.Column("closed_at", sa.Double),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("ix_groups_due_at", "due_at"),
    sa.Index("ix_groups_forget_at", "forget_at"),
    sa.Index("ix_groups_closed_at", "closed_at"),
    sa.Index("ix_groups_flow", "flow", "step", "key"),
)
sa.Index(
    "uq_groups_open",
    groups.c.flow,
    groups.c.step,
    groups.c.key,
    unique=True,
    sqlite_where=groups.c.closed_at.is_(None),
    postgresql_where=groups.c.closed_at.is_(None),
)

group_members = sa.Table(
    "group_members",
    metadata,
    sa.Column("flow", KEY, primary_key=True),
    sa.Column("step", KEY, primary_key=True),
    sa.Column("member_id", KEY, primary_key=True),
    sa.Column("group_id", KEY, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("left_at", sa.Double),
    sa.Column("content", sa.LargeBinary),
    sa.Index("ix_group_members_group_id", "group_id", "position"),
    sa.Index("ix_group_members_left_at", "left_at"),
)

claim_checks = sa.Table(
    "claim_checks",
    metadata,
    sa.Column("token", KEY, primary_key=True),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index("ix_claim_checks_until", "until"),
)

sagas = sa.Table(
    "sagas",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("name", KEY, nullable=False),
    sa.Column("key", KEY, nullable=False),
    sa.Column("status", KEY, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("definition", KEY, nullable=False),
    sa.Column("trigger_id", KEY, nullable=False),
    sa.Column("correlation_id", KEY, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("deadline", sa.Double),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("ix_sagas_key", "key"),
    sa.Index("ix_sagas_started_at", "started_at", "id"),
    sa.Index("ix_sagas_ended_at", "ended_at"),
)
sa.Index(
    "uq_sagas_running",
    sagas.c.name,
    sagas.c.key,
    unique=True,
    sqlite_where=sagas.c.ended_at.is_(None),
    postgresql_where=sagas.c.ended_at.is_(None),
)
