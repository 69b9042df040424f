"""Parked messages with masked fields keep what a retry sends on apart from what is shown.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    op.add_column("parked", sa.Column("sealed", sa.LargeBinary))


def downgrade() -> None:
    """Drop it: what is parked with masked fields can then only be discarded or edited."""
    op.drop_column("parked", "sealed")
