"""SQLite's write-ahead log: when it is to be written back into its database.

A log that is begun again keeps its file, since pages that are there already take little more than half the time to
write. So the file's size tells nothing: frames of an earlier round may lie in it. Each frame has the salts of its
round, and the log's header those of the round under way (https://sqlite.org/walformat.html).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

LIMIT = 32 * 1024**2  # bytes of frames, beyond which a log is written back: each time costs a wait for the disk
KEPT = 2 * LIMIT  # bytes of its file that stay when it is begun again
# For every connection. SQLite 3.7.0 to 3.51.2 may damage a database where a log is begun again while another connection
# writes or writes back, so nothing is written back by itself, and only by who keeps all others from writing.
PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", f"PRAGMA journal_size_limit = {KEPT}")
WRITE_BACK = "PRAGMA wal_checkpoint(RESTART)"  # gives a row that begins with 0 where no reader was in the way
_HEADER, _FRAME = 32, 24  # bytes
_PAGE, _SALTS = slice(8, 12), slice(16, 24)  # in the log's header
_SALTS_OF_FRAME = 8  # where they are in a frame's header


class WriteAheadLog:
    """The log of one database, as one connection or one process looks after it.

    Args:
        database: its file.
        limit: bytes, each time.
    """

    def __init__(self, database: Path, limit: int = LIMIT) -> None:
        self.path = Path(f"{database}-wal")
        self._limit = self._next = limit

    def tend(self, write_back: Callable[[], bool]) -> None:
        """Call it behind a commit, before anybody else may write. Has a log that has grown written back.

        Args:
            write_back: does so; False where a reader is in the way. Then it is asked again when the log has grown
                further, not at each commit.
        """
        if self._reaches(self._next):
            self._next = self._limit if write_back() else self._next + self._limit

    def _reaches(self, octets: int) -> bool:
        """Whether the round under way has a frame behind so many bytes. Fails for nothing: the commit stands."""
        try:  # closing the file drops no lock of SQLite's, whose locks are on other files
            with open(self.path, "rb", buffering=0) as log:
                return _has_frame(log.fileno(), octets)
        except OSError:
            return False


def _has_frame(log: int, octets: int) -> bool:
    header = os.pread(log, _HEADER, 0)
    size = _FRAME + int.from_bytes(header[_PAGE], "big")
    salts = os.pread(log, _SALTS.stop - _SALTS.start, _HEADER + octets // size * size + _SALTS_OF_FRAME)
    return bool(salts) and salts == header[_SALTS]
