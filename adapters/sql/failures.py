"""What a driver's error says about the effect: SQLSTATE, MariaDB's numbers and SQLite's codes as errors of the bus."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc

from esb.errors import Busy, EndpointError, EsbError, Interrupted, Refused, Unreachable

_LONGEST = 300  # characters of a driver's text
_REFUSED = ("22", "23", "44", "P0")  # SQLSTATE classes: data, constraint, check option, raised by a trigger
_BUSY = ("40", "53", "55", "57014", "25006")  # roll-back, resources, locks, cancelled, a standby that only reads
_GONE = ("08", "57P", "28")  # connection, shutting down, log-in
_MARIADB_BUSY = {1021, 1040, 1114, 1203, 1205, 1213, 1226, 1290, 1836, 1969, 3024}
_MARIADB_REFUSED = {1048, 1062, 1216, 1217, 1264, 1292, 1364, 1366, 1406, 1451, 1452, 1644, 3819, 4025}
_MARIADB_GONE = {1044, 1045, 1053, 1927, 2002, 2003, 2005, 2006, 2013, 2055}
_SQLITE_BUSY, _SQLITE_REFUSED, _SQLITE_GONE = {5, 6, 13}, {18, 19, 20}, {10, 14}


def translated(error: Exception, what: str, *, connected: bool, committing: bool, expired: bool) -> EsbError:
    """The error of the bus for a driver's.

    Args:
        what: what was attempted, on what.
        connected: a connection had come about.
        committing: the commit was under way, so that a connection lost now leaves the effect unknown.
        expired: the connection was cut from here because the time was over.
    """
    if isinstance(error, ImportError):
        return EndpointError(f"{what}: the database's driver is missing: pip install 'esb[{_extra(error)}]'")
    if expired:
        kind: type[EsbError] = Interrupted if committing else Unreachable
        return kind(f"{what}: no answer in time{'' if committing else '; nothing was committed'}")
    if isinstance(error, exc.TimeoutError):
        return Busy(f"{what}: all connections are in use")
    text = f"{what}: {_text(error)}"
    if isinstance(error, exc.DBAPIError):
        return _kind(error, connected, committing)(text)
    return EndpointError(text)


def _kind(error: exc.DBAPIError, connected: bool, committing: bool) -> type[EsbError]:
    kind = _by_code(error.orig)
    if kind is None and isinstance(error, exc.IntegrityError | exc.DataError):
        kind = Refused
    if error.connection_invalidated or (kind is None and not connected):
        kind = Unreachable
    if kind is Unreachable and committing:
        return Interrupted
    return kind or EndpointError


def _by_code(error: Any) -> type[EsbError] | None:
    state, number = getattr(error, "sqlstate", None), (getattr(error, "args", None) or (None,))[0]
    if isinstance(number, int):  # first, because MariaDB's SQLSTATEs are coarse
        return _first(
            (_MARIADB_BUSY, Busy), (_MARIADB_REFUSED, Refused), (_MARIADB_GONE, Unreachable), test=lambda c: number in c
        )
    if state:
        return _first((_BUSY, Busy), (_REFUSED, Refused), (_GONE, Unreachable), test=state.startswith)
    sqlite = getattr(error, "sqlite_errorcode", None)
    if sqlite is None:
        return None
    sets = (_SQLITE_BUSY, Busy), (_SQLITE_REFUSED, Refused), (_SQLITE_GONE, Unreachable)
    return _first(*sets, test=lambda codes: sqlite & 0xFF in codes)


def _first(*sets: tuple[Any, type[EsbError]], test: Any) -> type[EsbError] | None:
    return next((kind for codes, kind in sets if test(codes)), None)


def _text(error: Exception) -> str:
    """The driver's own words, on one line; never the statement or its values."""
    origin = getattr(error, "orig", None) or error
    words = origin.args[-1] if getattr(origin, "args", None) else origin
    return " ".join(str(words).split())[:_LONGEST] or type(origin).__name__


def _extra(error: ImportError) -> str:
    return "postgresql" if (error.name or "").startswith("psycopg") else "mariadb"
