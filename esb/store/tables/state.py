"""What lasts longer than a message: definitions, schedules, groups, claim checks, sagas."""

from __future__ import annotations

import sqlalchemy as sa

from esb.store.tables.base import KEY, metadata

definitions = sa.Table(
    "definitions",
    metadata,
    sa.Column("hash", KEY, primary_key=True),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("activated_at", sa.Double, nullable=False),
    sa.Column("files", sa.LargeBinary, nullable=False),
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("base", sa.Double, nullable=False),
    sa.Column("sent", sa.Double, nullable=False),
    sa.Column("sent_at", sa.Double, nullable=False),
    sa.Column("done", sa.Double, nullable=False),
    sa.Column("done_at", sa.Double, nullable=False),
    sa.Column("previous", sa.Double, nullable=False),
    sa.Column("wanted", sa.Double, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

groups = sa.Table(
    "groups",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("flow", KEY, nullable=False),
    sa.Column("step", KEY, nullable=False),
    sa.Column("key", KEY, nullable=False),
    sa.Column("kind", KEY, nullable=False),
    sa.Column("definition", KEY, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("waits", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
    sa.Column("due_at", sa.Double),
    sa.Column("forget_at", sa.Double),
    sa.Column("closed_at", sa.Double),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("ix_groups_opened_at", "opened_at", "id"),
    sa.Index("ix_groups_due_at", "due_at"),
    sa.Index("ix_groups_forget_at", "forget_at"),
    sa.Index("ix_groups_closed_at", "closed_at"),
    sa.Index("ix_groups_flow", "flow", "step", "key"),
)
sa.Index(
    "uq_groups_open",
    groups.c.flow,
    groups.c.step,
    groups.c.key,
    unique=True,
    sqlite_where=groups.c.closed_at.is_(None),
    postgresql_where=groups.c.closed_at.is_(None),
)

group_members = sa.Table(
    "group_members",
    metadata,
    sa.Column("flow", KEY, primary_key=True),
    sa.Column("step", KEY, primary_key=True),
    sa.Column("member_id", KEY, primary_key=True),
    sa.Column("group_id", KEY, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("left_at", sa.Double),
    sa.Column("content", sa.LargeBinary),
    sa.Index("ix_group_members_group_id", "group_id", "position"),
    sa.Index("ix_group_members_left_at", "left_at"),
)

claim_checks = sa.Table(
    "claim_checks",
    metadata,
    sa.Column("token", KEY, primary_key=True),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index("ix_claim_checks_until", "until"),
)

sagas = sa.Table(
    "sagas",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("name", KEY, nullable=False),
    sa.Column("key", KEY, nullable=False),
    sa.Column("status", KEY, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("definition", KEY, nullable=False),
    sa.Column("trigger_id", KEY, nullable=False),
    sa.Column("correlation_id", KEY, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("deadline", sa.Double),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("ix_sagas_key", "key"),
    sa.Index("ix_sagas_name", "name", "status"),
    sa.Index("ix_sagas_started_at", "started_at", "id"),
    sa.Index("ix_sagas_ended_at", "ended_at"),
)
sa.Index(
    "uq_sagas_running",
    sagas.c.name,
    sagas.c.key,
    unique=True,
    sqlite_where=sagas.c.ended_at.is_(None),
    postgresql_where=sagas.c.ended_at.is_(None),
)
