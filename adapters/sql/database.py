"""One database: its engine, transactions that end in time, and its tables as they are.

Everything happens in a transaction, so whatever fails before the commit had no effect; only a connection that is lost
*while* committing leaves it open.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL

from esb.adapters.sql.failures import translated
from esb.errors import EndpointError, Refused

PATIENCE = 30.0  # seconds for a transaction that has no limit of its own
MOST = 256  # connections kept for the next transaction; an endpoint has at most so many calls at once
READING = "esb_reading"
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
_POSTGRESQL = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "esb",
    "options": "-c timezone=UTC",  # so that a time looks the same whoever reads it
}


class Database:
    """Transactions on one database. Safe to use from many threads.

    Args:
        endpoint: its name, for errors.
        backend: ``sqlite``, ``postgresql`` or ``mariadb``.
        url: as in the settings.
        password: beside the URL, if it is not in it.
        root: where the path of a SQLite file starts.
        connect_timeout: seconds.
    """

    def __init__(
        self, endpoint: str, backend: str, url: str, password: str | None, root: str, connect_timeout: float
    ) -> None:
        self.endpoint = endpoint
        self.backend = backend
        self._url = _parsed(endpoint, backend, url, password)
        self._root = root
        self._connect_timeout = connect_timeout
        self._now = threading.local()
        self._engine = self._made()
        event.listen(self._engine, "connect", self._watch, insert=True)
        event.listen(self._engine, "checkout", self._watch)
        event.listen(self._engine, "begin", self._limit)

    @property
    def name(self) -> str:
        """The database for people: never with its password."""
        return self._url.set(drivername=self.backend).render_as_string(hide_password=True)

    @property
    def dialect(self) -> Any:
        """SQLAlchemy's dialect; knows the server's version after the first connection."""
        return self._engine.dialect

    @property
    def skips_locked(self) -> bool:
        """Can a query pass over rows that another transaction works on?"""
        version = self._engine.dialect.server_version_info or (0,)
        if self.backend == "mariadb":
            return version >= ((10, 6) if getattr(self._engine.dialect, "is_mariadb", True) else (8, 0, 1))
        return self.backend == "postgresql"

    @contextmanager
    def transaction(self, what: str, timeout: float = PATIENCE, reading: bool = False) -> Iterator[sa.Connection]:
        """A connection within a transaction, which is committed at the end of the block and rolled back on any error.

        Args:
            what: what is attempted, for errors: ``write to orders``.
            timeout: seconds for everything.
            reading: nothing will be written.

        Raises:
            EsbError: what ``failures`` makes of a driver's error.
        """
        deadline = Deadline(timeout)
        self._now.deadline = deadline
        committing = False
        try:
            with deadline, self._engine.connect().execution_options(**{READING: reading}) as connection:
                try:
                    yield connection
                    committing = True
                    connection.commit()
                except BaseException:
                    with suppress(exc.SQLAlchemyError):
                        connection.rollback()
                    raise
                finally:
                    deadline.stop()  # before another thread may use the connection
        except (exc.SQLAlchemyError, ImportError) as error:
            raise translated(
                error,
                f"{self.endpoint}: cannot {what} in {self.name}",
                connected=deadline.connected,
                committing=committing,
                expired=deadline.expired,
            ) from error

    def refusal(self, error: exc.DBAPIError, what: str) -> Refused | None:
        """What a driver's error says about the one statement that it came from; None where it is about more."""
        said = translated(
            error, f"{self.endpoint}: cannot {what} in {self.name}", connected=True, committing=False, expired=False
        )
        return said if isinstance(said, Refused) else None

    def close(self) -> None:
        """Close idle connections; those in use close when they are given back."""
        self._engine.dispose()
        _forget(type(self._engine.dialect))

    def _made(self) -> sa.Engine:
        common: dict[str, Any] = {"hide_parameters": True, "pool_reset_on_return": None}
        # The bus limits how many at once. Those that are not needed any more idle at the end, and are made anew.
        pooled = {"pool_size": MOST, "max_overflow": -1, "pool_recycle": 1800, "pool_use_lifo": True} | common
        seconds = max(1, round(self._connect_timeout))
        try:
            if self.backend == "sqlite":
                return sa.create_engine(self._url, creator=self._open_file, poolclass=sa.NullPool, **common)
            if self.backend == "postgresql":
                arguments = _POSTGRESQL | {"connect_timeout": seconds}
                return sa.create_engine(self._url, connect_args=arguments, **pooled)
            return sa.create_engine(
                self._url,
                connect_args={"connect_timeout": seconds, "init_command": "SET time_zone = '+00:00'"},
                isolation_level="READ COMMITTED",
                **pooled,
            )
        except (ImportError, exc.SQLAlchemyError) as error:
            what = f"{self.endpoint}: cannot use {self.backend}"
            raise translated(error, what, connected=False, committing=False, expired=False) from error

    def _open_file(self) -> sqlite3.Connection:
        """Opened anew for each transaction, and never created: a file that was moved away is not there."""
        path = Path(self._root, self._url.database or "")
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=0
        )

    def _watch(self, connection: Any, *_: Any) -> None:
        self._now.deadline.watch(connection)

    def _limit(self, connection: sa.Connection) -> None:
        """Have the server give up in time too, so that what is cut off here does not hold locks there."""
        seconds = self._now.deadline.left * 0.8
        if self.backend == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
        elif self.backend == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {max(1, int(seconds * 1000))}")
            reading = connection.get_execution_options().get(READING)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
        else:
            limit = f"SET innodb_lock_wait_timeout = {max(1, int(seconds))}"
            if getattr(self._engine.dialect, "is_mariadb", False):
                limit += f", max_statement_time = {max(0.001, seconds):.3f}"
            connection.exec_driver_sql(limit)


class Deadline:
    """Cuts a connection when the time is over: no driver here has a limit for the answer itself."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._connection: Any = None
        self._over = False
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.expired = False

    @property
    def left(self) -> float:
        """Seconds, at least a little."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def connected(self) -> bool:
        """Did a connection come about?"""
        return self._connection is not None

    def watch(self, connection: Any) -> None:
        """This is the connection to cut."""
        self._connection = connection

    def stop(self) -> None:
        """From here on nothing is cut."""
        with self._lock:
            self._over = True
        self._timer.cancel()

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _cut(self) -> None:
        with self._lock:
            if self._over or self._connection is None:
                return
            self.expired = True
            with suppress(Exception):  # it is broken already
                _interrupt(self._connection)


def _forget(dialect: type) -> None:
    """Let go of the dialects of engines that are closed.

    For PostgreSQL, SQLAlchemy keeps the queries by which it looks at tables by dialect, on the class: 128 dialects, two
    thirds of a megabyte each, of engines that may be long gone. Each probe of an endpoint has an engine of its own.
    """
    for kind in dialect.__mro__:
        for method in vars(kind).values():
            if clear := getattr(method, "cache_clear", None):
                clear()


def _interrupt(connection: Any) -> None:
    """Shut the socket below the driver, which reads the end of it; SQLite has a call for that."""
    if isinstance(connection, sqlite3.Connection):
        connection.interrupt()
        return
    pg = getattr(connection, "pgconn", None)
    number = pg.socket if pg is not None else connection._sock.fileno()
    with socket.socket(fileno=os.dup(number)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _parsed(endpoint: str, backend: str, url: str, password: str | None) -> URL:
    try:
        parsed = sa.make_url(url).set(drivername=_DRIVERS[backend])
    except (exc.ArgumentError, ValueError):
        raise EndpointError(f"{endpoint}: settings.url cannot be read as an address") from None
    if "@" in (parsed.host or ""):  # the rest of a password, which would be shown as the host
        raise EndpointError(f"{endpoint}: settings.url has more than one @: write one in a user or password as %40")
    return parsed.set(password=password) if password else parsed
