"""Users, sessions and links of the admin interface; an index for its figures.

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
ENTRIES = sa.text("place >= 'in:' AND place < 'in;'")


def upgrade() -> None:
    """Make the tables and the index."""
    op.create_table(
        "users",
        sa.Column("name", KEY, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("signed_in_at", sa.Double()),
        sa.PrimaryKeyConstraint("name", name="pk_users"),
    )
    _sessions()
    op.create_index(
        "ix_hops_entries",
        "hops",
        ["received_at", "place", "status"],
        sqlite_where=ENTRIES,
        postgresql_where=ENTRIES,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_hops_entries", "hops")
    for table in ("links", "sessions", "users"):
        op.drop_table(table)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", KEY, nullable=False),
        sa.Column("user_name", KEY, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_name", "sessions", ["user_name"])
    op.create_table(
        "links",
        sa.Column("id", KEY, nullable=False),
        sa.Column("user_name", KEY, nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
    )
