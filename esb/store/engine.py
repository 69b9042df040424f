"""The two databases as SQLAlchemy engines, with what each needs to be safe and quick."""

from __future__ import annotations

import os
import select
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from esb.errors import StoreDown, StoreError
from esb.store import failures
from esb.write_ahead_log import PRAGMAS, WRITE_BACK

TIMEOUT = 10.0  # seconds to wait for a lock or a connection
RESTED = 1.0  # seconds after which a connection may have died without anybody noticing
OURS = "esb_ours"  # an option of connections whose transactions begin and end in connection.py, not in SQLAlchemy


def embedded(file: Path) -> Engine:
    """SQLite in ``file``: write-ahead log, no fsync per commit (kill -9 loses nothing, a power cut the last ones)."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreDown(f"{file.parent} cannot be made ({error.strerror}): check `data:` in esb.yaml") from error
    engine = sa.create_engine(
        URL.create("sqlite+pysqlite", database=str(file)),
        connect_args={"timeout": TIMEOUT, "isolation_level": None, "cached_statements": 256},
        pool_size=5,
        max_overflow=20,
        pool_timeout=TIMEOUT,
    )
    sa.event.listen(engine, "do_connect", lambda *_: _make(file))
    sa.event.listen(engine, "connect", _pragmas)
    sa.event.listen(engine, "begin", begin)
    sa.event.listen(engine, "handle_error", failures.listener(f"the store {file}"))
    return engine


def _make(file: Path) -> None:
    """Make a database that is not there for its owner alone: SQLite would let everybody read it.

    Its log takes over the mode. A file that is there stays unopened and as it is: closing it again would drop this
    process's POSIX locks on it. What goes wrong here goes wrong in SQLite, too, which says it better.
    """
    with suppress(OSError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def server(url: str) -> Engine:
    """PostgreSQL through psycopg 3; a dead connection is noticed and replaced when it is next needed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise StoreError("PostgreSQL needs its driver: pip install 'esb[postgresql]'") from error
    parsed = _parsed(url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(
        parsed,
        connect_args=_connection(),
        pool_size=10,  # one that is made for a moment costs more than what is done with it
        max_overflow=10,
        pool_timeout=TIMEOUT,
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",  # a transaction says itself where it begins and ends: see pipeline.py
    )
    sa.event.listen(engine, "checkin", _note_time)
    sa.event.listen(engine, "checkout", _look_over)
    name = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
    sa.event.listen(engine, "handle_error", failures.listener(f"the store {name}"))
    return engine


def _note_time(connection: Any, record: Any) -> None:
    record.info["rested"] = time.monotonic()


def _look_over(connection: Any, record: Any, _fairy: Any) -> None:
    """Ask a connection that has rested, or has something to say that nobody asked for, whether it lives.

    Not SQLAlchemy's ``pool_pre_ping``, which asks each time: a round trip for each transaction. One that was in use a
    moment ago and has died since fails its transaction, which is tried again.
    """
    rested = record.info.pop("rested", None)
    if rested is None or (time.monotonic() - rested < RESTED and not _has_news(connection)):
        return
    try:
        connection.execute("SELECT 1")
    except Exception as error:
        raise sa.exc.InvalidatePoolError("it was closed") from error


def _has_news(connection: Any) -> bool:
    """A server that goes away says so, or closes; nobody has asked anything."""
    news = select.poll()  # not select(), which knows no descriptor above 1023
    news.register(connection.fileno(), select.POLLIN)
    return bool(news.poll(0))


def _parsed(url: str) -> URL:
    """The URL taken apart. An ``@`` in its host is the rest of a password, which errors would show as the host."""
    try:
        parsed = sa.make_url(url)
        if "@" not in (parsed.host or ""):
            return parsed
    except (sa.exc.ArgumentError, ValueError):
        pass
    raise StoreError(
        "the database URL cannot be read: postgresql://user:password@host:5432/name is needed, with an @ or / in the "
        "password written as %40 or %2F"
    )


def write_back(engine: Engine) -> bool:
    """Empty SQLite's write-ahead log. Call it only while nobody writes; False when a reader is in the way."""
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA busy_timeout = 50")
        busy = cursor.execute(WRITE_BACK).fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout = {int(TIMEOUT * 1000)}")
    except sqlite3.Error:
        return False  # the log stays; a real fault shows at the next statement, with its own error
    finally:
        raw.close()
    return not busy


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA page_size = 8192")  # of a new file: rows with their bodies fill smaller ones badly
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA cache_size = -32000")  # kilobytes
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def begin(connection: Connection) -> None:
    """A transaction of SQLAlchemy's own, on SQLite: a migration."""
    if not connection.get_execution_options().get(OURS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _connection() -> dict[str, Any]:
    """A server that vanished is noticed within seconds; a process that hangs in a transaction frees its locks."""
    return {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15000,
        "application_name": "esb",
        "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
    }
