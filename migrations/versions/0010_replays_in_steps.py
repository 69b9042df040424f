"""Replays go in steps: their plan, their state, and what is watched meanwhile.

Revision: 0010, after 0009
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS: tuple[tuple[str, Any, str], ...] = (
    ("steps", sa.Text(), "''"),
    ("rate", sa.Double(), "0"),
    ("tolerate", sa.Integer(), "-1"),
    ("state", sa.Text(), "'running'"),
    ("step", sa.Integer(), "0"),
    ("rest", sa.BigInteger(), "0"),
    ("failed", sa.BigInteger(), "0"),
    ("next_at", sa.Double(), "0"),
    ("note", sa.Text(), "''"),
)


def upgrade() -> None:
    """Replays that go on do so as they were begun: all at once."""
    for name, kind, default in COLUMNS:
        op.add_column("replays", sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
    op.add_column("replays", sa.Column("watched", sa.LargeBinary()))
    op.execute("UPDATE replays SET state = 'done' WHERE ended_at > 0")


def downgrade() -> None:
    """Replays that go on forget their steps, and those that rest go on."""
    with op.batch_alter_table("replays") as table:
        for name in ("watched", *(name for name, _, _ in COLUMNS)):
            table.drop_column(name)
