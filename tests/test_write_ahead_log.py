"""When SQLite's log is written back: it is begun again in a file that stays as long as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from esb.write_ahead_log import PRAGMAS, WRITE_BACK, WriteAheadLog

LIMIT = 100_000  # bytes
COMMITS = (5, 6, 7, 8)  # that fill so many, with four pages each of four thousand


class Written:
    """A database to which something is added, and whose log is tended; keeps when, and whether it succeeded."""

    def __init__(self, path: Path) -> None:
        self.sql = sqlite3.connect(path, isolation_level=None)
        for pragma in PRAGMAS:
            self.sql.execute(pragma)
        self.sql.execute("CREATE TABLE thing (value BLOB)")
        self.log = WriteAheadLog(path, LIMIT)
        self.commits = 0
        self.tries: list[tuple[int, bool]] = []

    def write(self, times: int) -> None:
        """So many commits; forgets the tries before."""
        self.tries.clear()
        for self.commits in range(times):
            self.sql.execute("INSERT INTO thing VALUES (?)", (bytes(10_000),))
            self.log.tend(self._write_back)

    def rounds(self) -> list[int]:
        """Commits from one try to the next."""
        return [later - before for (before, _), (later, _) in pairwise(self.tries)]

    def size(self) -> int:
        return self.log.path.stat().st_size

    def _write_back(self) -> bool:
        self.tries.append((self.commits, self.sql.execute(WRITE_BACK).fetchone()[0] == 0))
        return self.tries[-1][1]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path / "some.db")
    yield written
    written.sql.close()


def test_each_round_ends_when_it_has_grown_in_a_file_that_stays(written: Written) -> None:
    """What lies in the file of the round before does not count."""
    written.write(100)
    assert len(written.tries) > 10
    assert set(written.rounds()) <= set(COMMITS)
    assert LIMIT < written.size() < 1.5 * LIMIT


def test_a_reader_in_the_way_is_not_asked_about_at_each_commit(written: Written) -> None:
    """Again when so much more is written; and when it is gone the rounds are as long as before."""
    with closing(sqlite3.connect(written.log.path.with_name("some.db"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM thing").fetchone()
        written.write(40)
        assert [done for _, done in written.tries] == [False] * len(written.tries)
        assert set(written.rounds()) <= set(COMMITS)
        reader.execute("ROLLBACK")
    written.write(40)
    assert [done for _, done in written.tries] == [True] * len(written.tries)
    assert set(written.rounds()) <= set(COMMITS)


def test_a_log_that_is_away_or_cannot_be_read_fails_no_commit(tmp_path: Path) -> None:
    """Who closed the database last took it along; and what is committed must not look as if it had failed."""
    (tmp_path / "other.db-wal").mkdir()
    for name in ("none.db", "other.db"):
        WriteAheadLog(tmp_path / name).tend(lambda: pytest.fail("there is nothing to write back"))
