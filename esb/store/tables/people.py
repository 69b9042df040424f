"""Who may do what, and who has done what."""

from __future__ import annotations

import sqlalchemy as sa

from esb.store.tables.base import KEY, SERIAL, metadata

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", SERIAL, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("target", KEY, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("signed_in_at", sa.Double),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("user_name", KEY, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Index("ix_sessions_user_name", "user_name"),
)

links = sa.Table(
    "links",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("user_name", KEY, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)
