"""What scheduled and slow work remembers: schedules, probes, replays.

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _schedules()
    _probes()
    _replays()


def downgrade() -> None:
    """Drop them."""
    op.drop_table("replay_pieces")
    op.drop_index("ix_replays_ended_at", "replays")
    op.drop_table("replays")
    op.drop_table("probes")
    op.drop_table("schedules")


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", KEY, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("base", "sent", "sent_at", "done", "done_at")),
        sa.Column("previous", sa.Double(), nullable=False),
        sa.Column("wanted", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )


def _probes() -> None:
    op.create_table(
        "probes",
        sa.Column("endpoint", KEY, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("ms", sa.Double(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_probes")),
    )


def _replays() -> None:
    op.create_table(
        "replays",
        sa.Column("id", KEY, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("total", "seen", "sent")),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )
    op.create_index("ix_replays_ended_at", "replays", ["ended_at"])
    op.create_table(
        "replay_pieces",
        sa.Column("replay", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("replay", "number", name=op.f("pk_replay_pieces")),
    )
