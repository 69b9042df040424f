"""A store in this process's memory, for test cases: the same tables and statements on SQLite, without a file."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from esb.store import engine as engines
from esb.store import failures, tables
from esb.store.store import Store

NAME = "the store in memory"


class MemoryStore(Store):
    """One connection, so one transaction at a time; for one thread. Gone with the object."""

    def __init__(self) -> None:
        engine = sa.create_engine(
            "sqlite+pysqlite://",
            poolclass=StaticPool,
            connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": 256},
        )
        sa.event.listen(engine, "begin", engines.begin)
        sa.event.listen(engine, "handle_error", failures.listener(NAME))
        super().__init__(engine, embedded=True)
        tables.metadata.create_all(engine)
        self._forget = "".join(f"DELETE FROM {name};" for name in tables.metadata.tables)

    def clear(self) -> None:
        """Forget everything."""
        raw = self.engine.raw_connection()
        try:
            raw.cursor().executescript(f"BEGIN; {self._forget} COMMIT;")
        finally:
            raw.close()
