"""Sagas counted by their state, and groups listed by their age, without reading all of them.

Revision: 0011, after 0010
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """For the pages, which did both by reading the tables."""
    op.create_index("ix_sagas_name", "sagas", ["name", "status"])
    op.create_index("ix_groups_opened_at", "groups", ["opened_at", "id"])


def downgrade() -> None:
    """The pages are slower."""
    op.drop_index("ix_groups_opened_at", "groups")
    op.drop_index("ix_sagas_name", "sagas")
