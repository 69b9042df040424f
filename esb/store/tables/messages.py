"""Where messages are, were, and wait."""

from __future__ import annotations

import sqlalchemy as sa

from esb.store.tables.base import KEY, SERIAL, metadata

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

held = sa.Table(
    "held",
    metadata,
    sa.Column("seq", SERIAL, primary_key=True),
    sa.Column("place", KEY, nullable=False),
    sa.Column("key", KEY, nullable=False),
    sa.Column("message_id", KEY, nullable=False),
    sa.Column("stand", sa.Integer, nullable=False),
    sa.Column("due_at", sa.Double),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),
    sa.Column("properties", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("ix_held_line", "place", "key", "seq"),
    sa.Index("uq_held_message", "place", "message_id", unique=True),
    sqlite_autoincrement=True,
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

suspects = sa.Table(
    "suspects",
    metadata,
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("place", KEY, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
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
    sa.Column("steps", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("rate", sa.Double, nullable=False, server_default="0"),
    sa.Column("tolerate", sa.Integer, nullable=False, server_default="-1"),
    sa.Column("state", sa.Text, nullable=False, server_default="running"),
    sa.Column("step", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rest", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("next_at", sa.Double, nullable=False, server_default="0"),
    sa.Column("note", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("watched", sa.LargeBinary),
    sa.Index("ix_replays_ended_at", "ended_at"),
)

replay_pieces = sa.Table(
    "replay_pieces",
    metadata,
    sa.Column("replay", KEY, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("keys", sa.LargeBinary, nullable=False),
)
