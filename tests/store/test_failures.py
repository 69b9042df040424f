"""Every error of a driver becomes one of ours, of the right kind."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from esb.errors import EsbError, RowRefused, StoreDown, StoreError
from esb.store import failures, open_store


def _sqlite(kind: type[sqlite3.Error], code: int, text: str = "said") -> sqlite3.Error:
    error = kind(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (_sqlite(sqlite3.OperationalError, sqlite3.SQLITE_FULL), StoreDown, False),
        (_sqlite(sqlite3.OperationalError, sqlite3.SQLITE_BUSY), StoreDown, True),
        (_sqlite(sqlite3.OperationalError, sqlite3.SQLITE_BUSY_SNAPSHOT), StoreDown, True),
        (_sqlite(sqlite3.OperationalError, sqlite3.SQLITE_IOERR_FSYNC), StoreDown, False),
        (_sqlite(sqlite3.OperationalError, sqlite3.SQLITE_READONLY), StoreDown, False),
        (_sqlite(sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT), StoreError, False),
        (_sqlite(sqlite3.DataError, sqlite3.SQLITE_TOOBIG), RowRefused, False),
        (_sqlite(sqlite3.IntegrityError, sqlite3.SQLITE_CONSTRAINT_NOTNULL), RowRefused, False),
        (sqlite3.InterfaceError("Error binding parameter 3"), RowRefused, False),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), RowRefused, False),
        (
            UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
            RowRefused,
            False,
        ),
        (psycopg.errors.SerializationFailure("x"), StoreDown, True),
        (psycopg.errors.DeadlockDetected("x"), StoreDown, True),
        (psycopg.errors.LockNotAvailable("x"), StoreDown, True),
        (psycopg.errors.AdminShutdown("x"), StoreDown, False),
        (psycopg.errors.DiskFull("x"), StoreDown, False),
        (psycopg.errors.TooManyConnections("x"), StoreDown, False),
        (psycopg.errors.IdleInTransactionSessionTimeout("x"), StoreDown, False),
        (psycopg.OperationalError("server closed the connection unexpectedly"), StoreDown, False),
        (psycopg.errors.ReadOnlySqlTransaction("x"), StoreError, False),
        (psycopg.errors.NumericValueOutOfRange("x"), RowRefused, False),
        (psycopg.errors.ProgramLimitExceeded("x"), RowRefused, False),
        (psycopg.errors.NotNullViolation("x"), RowRefused, False),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), RowRefused, False),
        (psycopg.errors.UndefinedTable("x"), StoreError, False),
        (psycopg.errors.SyntaxError("x"), StoreError, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_a_driver_is_one_of_ours(error: Exception, kind: type[EsbError], transient: bool) -> None:
    """What may be tried again at once says so; what it was about is in the text."""
    ours = failures.translate(error, "the store x")
    assert type(ours) is kind
    assert ours.transient is transient
    assert str(ours).startswith("the store x")


def test_every_class_of_sqlstate_is_known_to_be_something() -> None:
    """No error class of the driver falls through."""
    from psycopg.errors import _sqlcodes

    for kind in _sqlcodes.values():
        assert isinstance(failures.translate(kind("x"), "the store"), StoreError)


def test_an_error_of_somebody_else_is_left_alone() -> None:
    """A bug in a block is no failure of the store."""
    assert failures.translate(ValueError("x"), "the store") is None


def test_a_text_of_a_driver_is_cut_to_its_first_line() -> None:
    """What follows may quote whole rows."""
    ours = failures.translate(psycopg.errors.NotNullViolation("null value\nDETAIL: Failing row contains (secret)"), "x")
    assert "secret" not in str(ours)


@pytest.mark.parametrize(
    "url", ["mysql://x", "embeded", "", "postgresql://h:port/x", "postgresql:/x", "postgresql://u:p@ss77@h/x"]
)
def test_a_url_that_is_neither(url: str, tmp_path) -> None:
    """The text shows how it is written."""
    with pytest.raises(StoreError, match="postgresql://user:password@host:5432/name") as raised:
        open_store(url, tmp_path)
    assert "ss77" not in str(raised.value)
