"""How the bus runs just now: leases, breakers, probes, and what people have stopped or set."""

from __future__ import annotations

import sqlalchemy as sa

from esb.store.tables.base import KEY, metadata

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("owner", KEY, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Index("ix_leases_owner", "owner"),
)

breakers = sa.Table(
    "breakers",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("probe_at", sa.Double, nullable=False),
    sa.Column("probe_owner", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

probes = sa.Table(
    "probes",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("ms", sa.Double, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("endpoint", KEY, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

# The revision is the row whose key is empty.
switches = sa.Table(
    "switches",
    metadata,
    sa.Column("kind", KEY, primary_key=True),
    sa.Column("name", KEY, primary_key=True),
    sa.Column("key", KEY, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
