"""Sagas.

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "sagas",
        *(sa.Column(name, KEY, nullable=False) for name in ("id", "name", "key", "status")),
        sa.Column("step", sa.Text(), nullable=False),
        *(sa.Column(name, KEY, nullable=False) for name in ("definition", "trigger_id", "correlation_id")),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.Double()),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sagas")),
    )
    _indexes()


def _indexes() -> None:
    """How they are found; and of a name and key only one has not ended."""
    op.create_index(
        "uq_sagas_running",
        "sagas",
        ["name", "key"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_sagas_key", "sagas", ["key"])
    op.create_index("ix_sagas_started_at", "sagas", ["started_at", "id"])
    op.create_index("ix_sagas_ended_at", "sagas", ["ended_at"])


def downgrade() -> None:
    """Drop it."""
    for name in ("ix_sagas_ended_at", "ix_sagas_started_at", "ix_sagas_key", "uq_sagas_running"):
        op.drop_index(name, "sagas")
    op.drop_table("sagas")
