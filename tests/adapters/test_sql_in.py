"""Rows as messages: none is lost, none comes twice, whoever dies and however late a row is committed."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from esb.adapters.sql import SqlAdapter, SqlOperation, SqlSettings
from esb.errors import EndpointError
from tests.adapters.databases import MariaDatabase, PostgresDatabase, SqliteFile, opened

MARKED: dict[str, Any] = {"status": {"column": "state", "mark": "taken_by"}}
NOTED: dict[str, Any] = {"status": {"column": "state"}}
DELETE: dict[str, Any] = {"delete": True}
SEEN: dict[str, Any] = {"seen": {"time": "placed", "overlap": "1h"}}
ALL_SEEN: dict[str, Any] = {"seen": {}}
WAYS = pytest.mark.parametrize(
    "way", [MARKED, NOTED, DELETE, SEEN, ALL_SEEN], ids=["marked", "noted", "delete", "seen", "all-seen"]
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql), "mariadb"])
def database(request: Any, tmp_path: Path) -> Any:
    """A table that somebody fills, on each database."""
    if request.param == "sqlite":
        found: Any = SqliteFile(tmp_path)
    elif request.param == "mariadb":
        found = MariaDatabase(request.getfixturevalue("mariadb").database())
    else:
        found = PostgresDatabase(request.getfixturevalue("postgresql").database())
    found.directory = tmp_path
    found.run("CREATE TABLE sales (id INTEGER PRIMARY KEY, total NUMERIC(20,4), placed TIMESTAMP, "
              "state CHAR(1) DEFAULT 'N', taken_by VARCHAR(120))")  # fmt: skip
    return found


def sell(database: Any, *ids: int, placed: str = "2026-03-01 10:00:00") -> None:
    """Rows that somebody writes."""
    for id in ids:
        database.run("INSERT INTO sales (id, total, placed) VALUES (?, 12.5, ?)", id, placed)


def source(database: Any, way: dict[str, Any], name: str = "till", **more: Any) -> SqlAdapter:
    """A poller of the table."""
    columns = {"columns": ["total"]} if "status" in way else {}
    return opened(database, name=name, **({"table": "sales", "key": "id"} | columns | way | more))


def ids(claims: Any) -> list[int]:
    """What is in the claims."""
    return [json.load(claim.open())["id"] for claim in claims]


def drain(adapter: SqlAdapter, limit: int = 3) -> list[int]:
    """Take everything there is and finish it."""
    taken = []
    while claims := adapter.claim("me", limit):
        taken += ids(claims)
        for claim in claims:
            adapter.done(claim)
    return taken


@WAYS
def test_each_row_comes_once(database, way):
    """Ten rows, three at a time, then two more."""
    adapter = source(database, way)
    sell(database, *range(1, 11))
    assert drain(adapter) == list(range(1, 11))
    sell(database, 11, 12)
    assert drain(adapter) == [11, 12]
    assert drain(source(database, way)) == []


@WAYS
def test_a_crash_between_taking_and_finishing_loses_and_doubles_nothing(database, way):
    """Whoever comes next finds the same rows first, under the same ids, keys and times."""
    sell(database, 5, 6)
    dead = source(database, way).claim("dead", 10)
    sell(database, 1)
    heir = source(database, way)
    again = heir.claim("heir", 2)
    assert [(c.id, c.key, c.time, c.name) for c in again] == [(c.id, c.key, c.time, c.name) for c in dead]
    assert drain(heir) == [5, 6, 1]


@WAYS
def test_what_is_released_comes_again(database, way):
    """Untouched, as a new taking."""
    sell(database, 1)
    adapter = source(database, way)
    (first,) = adapter.claim("me", 5)
    adapter.release(first)
    (second,) = adapter.claim("me", 5)
    assert (second.key, second.position) == (first.key, 0)


@WAYS
def test_what_cannot_be_read_does_not_come_again(database, way):
    """And it is not deleted or marked as done when the bus says afterwards that it is."""
    sell(database, 1, 2)
    adapter = source(database, way)
    bad, _ = adapter.claim("me", 5)
    adapter.reject(bad, "no table at all")
    adapter.done(bad)
    assert drain(adapter) == [2]
    assert drain(source(database, way)) == []
    assert database.run("SELECT id FROM sales WHERE id = 1") == [(1,)]


@pytest.mark.parametrize("way", [SEEN, ALL_SEEN], ids=["window", "everything"])
@pytest.mark.parametrize("late", ["2026-03-01 11:00:00", "2026-03-01 10:10:00"])
def test_a_row_committed_late_is_not_missed(database, way, late):
    """It has a lower id, and an older time, than rows that were read long ago: ``id > last`` would lose it."""
    adapter = source(database, way)
    sell(database, 10, placed="2026-03-01 10:00:00")
    sell(database, 30, placed="2026-03-01 11:00:00")
    assert drain(adapter) == [10, 30]
    sell(database, 20, placed=late)
    assert drain(adapter) == [20]
    assert drain(source(database, way)) == []


def test_a_transaction_that_stays_open_is_waited_for(database):
    """Begun before, committed after the others were read."""
    if isinstance(database, SqliteFile):
        pytest.skip("SQLite has one writer: nothing is committed beside an open transaction")
    adapter = source(database, SEEN)
    other = database.other()
    other.execute("INSERT INTO sales (id, placed) VALUES (1, '2026-03-01 10:00:00')")
    sell(database, 2, placed="2026-03-01 10:05:00")
    assert drain(adapter) == [2]
    other.commit()
    other.close()
    assert drain(adapter) == [1]


def test_the_mark_never_passes_a_row_that_is_not_done(database):
    """A row that was given back is still found, though newer ones, far beyond the window, have gone by."""
    adapter = source(database, SEEN)
    sell(database, 1, placed="2026-03-01 10:00:00")
    adapter.claim("me", 5)
    sell(database, 2, 3, placed="2026-03-09 10:00:00")
    for claim in adapter.claim("me", 5):
        (adapter.release if claim.name == "1" else adapter.done)(claim)
    assert drain(source(database, SEEN)) == [1]


def test_old_rows_are_forgotten_but_do_not_come_again(database):
    """Notes stay small: what lies far behind the window is dropped, and not asked for either."""
    adapter = source(database, SEEN)
    for day in range(1, 20):
        sell(database, day, placed=f"2026-03-{day:02} 10:00:00")
        assert drain(adapter) == [day]
    assert adapter._ready()._notes._do(lambda c: c.execute("SELECT count(*) FROM seen").fetchone()[0]) < 8
    assert drain(adapter) == []


def test_rows_without_a_time_are_never_passed_over(database):
    """NULL lies in no window, so such rows are always looked at."""
    adapter = source(database, SEEN)
    sell(database, 1)
    drain(adapter)
    database.run("INSERT INTO sales (id) VALUES (2)")
    assert drain(adapter) == [2]
    assert drain(adapter) == []


def test_a_changed_row_is_another_message(database):
    """A read-only table: the same key with another content."""
    adapter = source(database, SEEN)
    sell(database, 1)
    (first,) = adapter.claim("me", 5)
    adapter.done(first)
    database.run("UPDATE sales SET total = 13")
    (second,) = adapter.claim("me", 5)
    assert second.key != first.key
    assert second.name == first.name == "1"


def test_a_row_that_changed_while_it_was_read_is_not_deleted(database):
    """The change would be lost; it comes again as it is now."""
    adapter = source(database, DELETE)
    sell(database, 1)
    (claim,) = adapter.claim("me", 5)
    database.run("UPDATE sales SET total = 13")
    adapter.done(claim)
    (again,) = adapter.claim("me", 5)
    assert (json.load(again.open())["total"], again.id == claim.id) == (13, False)


def test_a_row_set_back_to_new_is_the_same_thing_taken_again(database):
    """The bus can tell: an equal key, another id."""
    adapter = source(database, MARKED)
    sell(database, 1)
    (first,) = adapter.claim("me", 5)
    adapter.done(first)
    database.run("UPDATE sales SET state = 'N'")
    (second,) = adapter.claim("me", 5)
    assert (second.key == first.key, second.id == first.id) == (True, False)


def test_pollers_of_two_endpoints_share_no_row(database):
    """Two endpoints on one table, at the same time: each row goes to one of them."""
    sell(database, *range(1, 61))
    pollers = [source(database, MARKED, name=name) for name in ("north", "south")]
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda poller: drain(poller, 5), pollers))
    assert sorted(taken[0] + taken[1]) == list(range(1, 61))


def test_locked_rows_are_passed_over(database):
    """Somebody works on a row in a long transaction: the others come meanwhile."""
    if isinstance(database, SqliteFile):
        pytest.skip("SQLite locks the whole file")
    sell(database, 1, 2)
    other = database.other()
    other.execute("SELECT * FROM sales WHERE id = 1 FOR UPDATE")
    adapter = source(database, MARKED)
    assert ids(adapter.claim("me", 5)) == [2]
    other.rollback()
    other.close()


def test_condition_and_order_choose_the_rows(database):
    """In words of SQL, checked when the configuration is loaded."""
    sell(database, 1, 2, 3)
    assert drain(source(database, MARKED, where="id <> 2 OR total < 0", order=["id desc"])) == [3, 1]


def test_values_are_what_json_can_say(database):
    """Times in ISO 8601; numbers that would be rounded, and those that shall be, as text."""
    database.run("INSERT INTO sales VALUES (1, 1234567890123456, '2026-03-01 10:00:00', 'N', NULL)")
    (claim,) = source(database, DELETE, columns=["total", "placed", "taken_by"], text=["id"]).claim("me", 5)
    document = json.load(claim.open())
    assert (document["id"], document["taken_by"]) == ("1", None)
    assert document["total"].startswith("1234567890123456")
    assert document["placed"].replace("T", " ") == "2026-03-01 10:00:00"


def test_a_key_that_identifies_nothing_is_found(database):
    """Rows with one key would count as one."""
    sell(database, 1, 2)
    adapter = source(database, MARKED | {"key": "total"})
    with pytest.raises(EndpointError, match="does not identify a row"):
        adapter.check()
    with pytest.raises(EndpointError, match="does not identify a row of sales"):
        adapter.claim("me", 5)


# --- settings -----------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"url": "sqlite:///x.db", "table": "sales", "key": "id", "delete": True}


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "postgresql://me:secret@host/db"},
        {"url": "oracle://host"},
        {"delete": False},
        {"seen": {}},
        {"key": []},
        {"table": None},
        {"where": "total > :limit"},
        {"where": "1 = 1) OR (1 = 1"},
        {"where": "1 = 1; DROP TABLE sales"},
        {"order": "id, total"},
        {"create_inbox": True},
        {"body": "payload", "columns": "id"},
        {"delete": False, "status": {"column": "state", "new": "X", "done": "X"}},
    ],
)
def test_wrong_settings_are_findings(wrong):
    """Each alone breaks what is right."""
    assert SqlSettings(**GOOD)
    with pytest.raises(ValidationError):
        SqlSettings(**(GOOD | wrong))


def test_parts_that_need_each_other_are_findings():
    """A table that nobody receives from does nothing, nor does an inbox without operations."""
    bare, table = SqlSettings(url="sqlite:///x"), SqlSettings(**GOOD)
    inbox = SqlSettings(url="sqlite:///x", inbox_table="inbox")
    operation = {"write": SqlOperation(insert="a", columns=["b"])}
    assert SqlAdapter.problems(table, {}, object()) == SqlAdapter.problems(inbox, operation, None) == []
    assert len(SqlAdapter.problems(bare, {}, object())) == 1
    assert len(SqlAdapter.problems(table, {}, None)) == 1
    assert len(SqlAdapter.problems(inbox, {}, None)) == 1


def test_sqlalchemy_is_not_loaded_before_it_is_needed():
    """A bus without a database endpoint stays light."""
    code = "import sys, esb.adapters.sql; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
