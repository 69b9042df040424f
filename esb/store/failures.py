"""Driver errors become the bus's own, here and nowhere else.

SQLAlchemy hands every error of a driver to :func:`translate` (its ``handle_error`` event) before anybody sees it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from esb.errors import RowRefused, StoreDown, StoreError

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

# SQLSTATE classes (PostgreSQL, appendix A). 22: a value the type cannot hold. 23: a constraint. 54: over a limit.
_REFUSED = ("22", "23", "54")
# 08: connection. 53: disk, memory or connections used up. 55: locked. 57: shut down or cancelled. 58: I/O. 25P03: idle.
_DOWN = ("08", "53", "55", "57", "58", "25P03")
_TRANSIENT = ("40001", "40P01", "55P03")
_HELP = {
    "28": "check user and password of `database:` in esb.yaml",
    "3D": "create the database, or correct `database:` in esb.yaml",
    "42P01": "run `esb db upgrade`",
    "42703": "run `esb db upgrade`",
    "42501": "give the role of `database:` the right to read and write the tables",
    "53100": "free space on the database server's disk; the bus goes on by itself",
    "53300": "raise max_connections of the server, or run fewer processes",
}
# A connection that fails has no SQLSTATE. Where the server speaks another language, it counts as down: we wait.
_LOCKED_OUT = re.compile(
    r'FATAL: .*(password authentication failed|no pg_hba\.conf entry|(role|database) ".*" (is not|does not exist))'
    "|no password supplied"
)
_SQLITE = {
    sqlite3.SQLITE_FULL: "the disk is full: free space; the bus goes on by itself",
    sqlite3.SQLITE_BUSY: "another process keeps it locked: look for one that hangs; trying again may help",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked: look for one that hangs; trying again may help",
    sqlite3.SQLITE_READONLY: "it is read-only: check the owner and rights of the directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that the directory exists and may be written",
    sqlite3.SQLITE_IOERR: "reading or writing failed: check the disk",
}


def translate(error: BaseException, database: str) -> Exception | None:
    """The error of ours that ``error`` stands for, or None when it is none of a database.

    Args:
        error: what the driver (or Python, while handing a value to it) raised.
        database: what to call the database in the text; never with a password.
    """
    if isinstance(error, UnicodeError | OverflowError):
        return RowRefused(f"{database} refuses a value: {_said(error)}; the row has to be cleaned or set aside")
    if isinstance(error, sqlite3.Error):
        return _sqlite(error, database)
    return _server(error, database) if type(error).__module__.startswith("psycopg") else None


def driver(error: Exception, database: str) -> Exception | None:
    """As :func:`translate`, for an error that came by another way than a statement and may be anybody's."""
    known = isinstance(error, sqlite3.Error) or type(error).__module__.startswith("psycopg")
    return translate(error, database) if known else None


def listener(database: str) -> Callable[[ExceptionContext], Exception | None]:
    """A ``handle_error`` listener that raises what :func:`translate` says.

    Except while an idle connection is tried before use: the pool replaces one that is dead, and nobody needs to know.
    """

    def handle(context: ExceptionContext) -> Exception | None:
        return None if context.is_pre_ping else translate(context.original_exception, database)

    return handle


def _sqlite(error: sqlite3.Error, database: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in _SQLITE:
        failure = StoreDown(f"{database} does not work: {_SQLITE[primary]} ({_said(error)})")
        failure.transient = primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        return failure
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(f"{database} is damaged ({_said(error)}): stop the bus and restore a copy")
    if "no such table" in str(error) or "no such column" in str(error):
        return StoreError(f"{database} lacks a table ({_said(error)}): run `esb db upgrade`")
    if primary in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH) or _binding(error):
        return RowRefused(f"{database} refuses a row ({_said(error)}); the row has to be cleaned or set aside")
    return StoreError(f"{database} refused a statement ({_said(error)})")


def _binding(error: sqlite3.Error) -> bool:
    """A value that never reached SQLite: too large, or of a type it does not know."""
    return isinstance(error, sqlite3.DataError | sqlite3.InterfaceError) or "binding parameter" in str(error)


def _server(error: BaseException, database: str) -> Exception:
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    help = next((text for start, text in _HELP.items() if state.startswith(start)), "")
    text = f"({_said(error)})" + (f": {help}" if help else "")
    if state in _TRANSIENT or state.startswith(_DOWN):
        failure = StoreDown(f"{database} does not work {text}" + ("" if help else "; trying again may help"))
        failure.transient = state in _TRANSIENT
        return failure
    if state.startswith(_REFUSED) or (not state and isinstance(error, psycopg.DataError)):
        return RowRefused(f"{database} refuses a row {text}; the row has to be cleaned or set aside")
    if isinstance(error, psycopg.errors.PipelineAborted):
        return StoreError(f"a transaction at {database} was rolled back: one of its statements had failed")
    if not state and _LOCKED_OUT.search(str(error)):
        return StoreError(f"{database} does not let us in ({_said(error)}): {_HELP['28']}")
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreDown(f"{database} cannot be reached {text}: check that the server runs and `database:` is right")
    return StoreError(f"{database} refused a statement {text}")


def _said(error: BaseException) -> str:
    """The first line of what the driver said, short: the rest may quote whole rows."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
