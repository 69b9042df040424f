"""The first tables.

Revision: 0001, after nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TABLES = (
    "hops",
    "inbox",
    "outbox",
    "timers",
    "parked",
    "suspects",
    "claims",
    "leases",
    "breakers",
    "definitions",
    "audit",
)


def upgrade() -> None:
    """Make the tables."""
    _tracking()
    _tracking_indexes()
    _inbox()
    _outgoing()
    _parked()
    _sources()
    _cooperation()
    _records()


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _tracking() -> None:
    """What became of each message at each place."""
    op.create_table(
        "hops",
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("place", KEY, nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("operation", sa.Text()),
        sa.Column("correlation_id", KEY, nullable=False),
        sa.Column("causation_id", KEY),
        sa.Column("type", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("subject", KEY),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_kind", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=False),
        sa.Column("definition", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("content_type", sa.Text()),
        sa.Column("steps", sa.LargeBinary()),
        sa.Column("headers", sa.LargeBinary()),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("message_id", "place", name=op.f("pk_hops")),
    )


def _tracking_indexes() -> None:
    """How hops are found: by family, by age, by business key, and those that are not at their end."""
    op.create_index("ix_hops_correlation_id", "hops", ["correlation_id"])
    op.create_index(
        "ix_hops_open",
        "hops",
        ["status", "received_at"],
        sqlite_where=sa.text("status < 30"),
        postgresql_where=sa.text("status < 30"),
    )
    op.create_index("ix_hops_received_at", "hops", ["received_at"])
    op.create_index(
        "ix_hops_subject",
        "hops",
        ["subject"],
        sqlite_where=sa.text("subject IS NOT NULL"),
        postgresql_where=sa.text("subject IS NOT NULL"),
    )


def _inbox() -> None:
    """What each endpoint was sent."""
    op.create_table(
        "inbox",
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("endpoint", KEY, nullable=False),
        sa.Column("operation", KEY, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reply", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("message_id", "endpoint", "operation", name=op.f("pk_inbox")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_inbox_at", "inbox", ["at"])
    op.create_index(
        "ix_inbox_started", "inbox", ["owner"], sqlite_where=sa.text("state = 1"), postgresql_where=sa.text("state = 1")
    )


def _outgoing() -> None:
    """What still has to be published."""
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("event", sa.Boolean(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("properties", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("taken_by", sa.Text()),
        sa.Column("taken_until", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "timers",
        sa.Column("id", KEY, nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("properties", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timers")),
    )
    op.create_index("ix_timers_due_at", "timers", ["due_at"])


def _parked() -> None:
    """What waits for a person, and what may soon."""
    op.create_table(
        "parked",
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("place", KEY, nullable=False),
        sa.Column("status", KEY, nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("subject", KEY),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_failed", sa.Double(), nullable=False),
        sa.Column("parked_at", sa.Double(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("properties", sa.LargeBinary(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "place", name=op.f("pk_parked")),
    )
    op.create_index("ix_parked_status_parked_at", "parked", ["status", "parked_at"])
    op.create_table(
        "suspects",
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("place", KEY, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "place", name=op.f("pk_suspects")),
    )


def _sources() -> None:
    """What was taken from each source."""
    op.create_table(
        "claims",
        sa.Column("endpoint", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("claim_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "key", name=op.f("pk_claims")),
    )
    op.create_index("ix_claims_at", "claims", ["at"])


def _cooperation() -> None:
    """What processes agree on."""
    op.create_table(
        "leases",
        sa.Column("name", KEY, nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_index("ix_leases_owner", "leases", ["owner"])
    op.create_table(
        "breakers",
        sa.Column("endpoint", KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("probe_at", sa.Double(), nullable=False),
        sa.Column("probe_owner", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_breakers")),
    )


def _records() -> None:
    """What was in force, and who did what."""
    op.create_table(
        "definitions",
        sa.Column("hash", KEY, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("activated_at", sa.Double(), nullable=False),
        sa.Column("files", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_definitions")),
    )
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("target", KEY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
