"""Groups of messages at stateful steps, and documents left behind.

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "groups",
        *(sa.Column(name, KEY, nullable=False) for name in ("id", "flow", "step", "key", "kind", "definition")),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double()),
        sa.Column("forget_at", sa.Double()),
        sa.Column("closed_at", sa.Double()),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    )
    for name in ("due_at", "forget_at", "closed_at"):
        op.create_index(f"ix_groups_{name}", "groups", [name])
    op.create_index("ix_groups_flow", "groups", ["flow", "step", "key"])
    here = sa.text("closed_at IS NULL")
    op.create_index(
        "uq_groups_open", "groups", ["flow", "step", "key"], unique=True, sqlite_where=here, postgresql_where=here
    )
    op.create_table(
        "group_members",
        *(sa.Column(name, KEY, nullable=False) for name in ("flow", "step", "member_id", "group_id")),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("left_at", sa.Double()),
        sa.Column("content", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("flow", "step", "member_id", name=op.f("pk_group_members")),
    )
    op.create_index("ix_group_members_group_id", "group_members", ["group_id", "position"])
    op.create_index("ix_group_members_left_at", "group_members", ["left_at"])
    op.create_table(
        "claim_checks",
        sa.Column("token", KEY, nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_claim_checks")),
    )
    op.create_index("ix_claim_checks_until", "claim_checks", ["until"])


def downgrade() -> None:
    """Drop them: messages that wait there cannot go on."""
    for table in ("claim_checks", "group_members", "groups"):
        op.drop_table(table)
