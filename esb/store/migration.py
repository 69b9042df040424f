"""Brings a database to the tables this version needs, with Alembic and a configuration made in code."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import esb.migrations

LOCK = 0x657362  # "esb": the advisory lock that lets one process migrate at a time


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration; the scripts lie in the installed package ``esb.migrations``."""
    made = Config()
    made.set_main_option("script_location", str(Path(esb.migrations.__file__).parent).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Bring the database to ``revision`` within the transaction of ``connection``."""
    _alone(connection)
    command.upgrade(config(connection), revision)


def downgrade(connection: sa.Connection, revision: str = "base") -> None:
    """Take the database back to ``revision`` within the transaction of ``connection``."""
    _alone(connection)
    command.downgrade(config(connection), revision)


def _alone(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
