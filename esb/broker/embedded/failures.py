"""SQLite's errors as the bus's own: what was attempted, on which file, and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esb.errors import BrokerDown, BrokerError

_ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space, the bus then goes on by itself",
    "SQLITE_BUSY": "another program holds the database locked: end it (an open transaction in a sqlite3 shell?)",
    "SQLITE_LOCKED": "another program holds the database locked: end it (an open transaction in a sqlite3 shell?)",
    "SQLITE_CORRUPT": "the database is damaged: stop the bus and restore the file, or move it away to start empty",
    "SQLITE_NOTADB": "the file is no database: stop the bus and restore the file, or move it away to start empty",
    "SQLITE_READONLY": "the file cannot be written: check owner and permissions of the data directory",
    "SQLITE_PERM": "access is denied: check owner and permissions of the data directory",
    "SQLITE_CANTOPEN": "the file cannot be opened: check that the data directory exists and can be written",
    "SQLITE_IOERR": "reading or writing failed: check the disk and its free space",
}


class NoTurnError(Exception):
    """The turn to write does not come."""


@contextmanager
def translated(attempt: str, path: Path) -> Iterator[None]:
    """Raise what SQLite, the file system or the gate raises inside as ``BrokerDown``.

    Args:
        attempt: what is being done, as in "cannot <publish>".
        path: the database file.
    """
    try:
        yield
    except sqlite3.DataError as error:
        raise BrokerError(f"cannot {attempt} in {path}: {error}; a message may have up to 1 GB") from error
    except sqlite3.Error as error:
        raise BrokerDown(f"cannot {attempt} in {path}: {_advice(error)}") from error
    except NoTurnError as error:
        raise BrokerDown(
            f"cannot {attempt} in {path}: {error}: look for one that hangs, or for a program that locks the database"
        ) from error
    except OSError as error:
        raise BrokerDown(f"cannot {attempt} in {path}: {error}; check the disk and the data directory") from error


def _advice(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or ""
    # Extended codes begin with their family's name: SQLITE_IOERR_WRITE, SQLITE_READONLY_DIRECTORY.
    family = "_".join(name.split("_")[:2])
    return _ADVICE.get(family, f"{error}; restart the bus, and if it stays look at the disk")
