"""Which revision a database is at and which one this version needs, without Alembic: every process asks as it starts,
and Alembic takes a fifth of a second to import."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

import esb.migrations

_AT = sa.table("alembic_version", sa.column("version_num"))


def head() -> str:
    """The revision this version of the bus needs: its migrations are numbered in their order."""
    scripts = (Path(esb.migrations.__file__).parent / "versions").glob("[0-9]*.py")
    return max(script.name for script in scripts).partition("_")[0]


def current(connection: sa.Connection) -> str:
    """The revision the database is at; "" when it is empty."""
    if not sa.inspect(connection).has_table(_AT.name):
        return ""
    return connection.execute(sa.select(_AT.c.version_num)).scalar() or ""
