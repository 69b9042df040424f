"""Messages that wait for another of their key.

Revision: 0012, after 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "held",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("place", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("stand", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double()),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("properties", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_held")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_held_line", "held", ["place", "key", "seq"])
    op.create_index("uq_held_message", "held", ["place", "message_id"], unique=True)


def downgrade() -> None:
    """What is held is lost with the table: let the lines run out first."""
    op.drop_table("held")
