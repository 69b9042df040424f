"""Messages into tables: what each operation does, what fits, what a repeat does, and what is true after a failure."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from esb.adapters.sql import SqlAdapter, SqlOperation, SqlSettings
from esb.errors import Busy, EndpointError, Interrupted, Refused, Unreachable
from esb.testing.proxy import Proxy
from tests.adapters.databases import MariaDatabase, PostgresDatabase, SqliteFile, message, opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql), "mariadb"])
def database(request: Any, tmp_path: Path) -> Any:
    """Orders and their lines, on each database."""
    if request.param == "sqlite":
        found: Any = SqliteFile(tmp_path)
    elif request.param == "mariadb":
        found = MariaDatabase(request.getfixturevalue("mariadb").database())
    else:
        found = PostgresDatabase(request.getfixturevalue("postgresql").database())
    found.run("CREATE TABLE orders (id INTEGER PRIMARY KEY, total NUMERIC(20,4), placed TIMESTAMP, note VARCHAR(10), "
              "state VARCHAR(5) DEFAULT 'open', CHECK (total >= 0))")  # fmt: skip
    found.run("CREATE TABLE order_lines (order_id INTEGER, sku VARCHAR(10) NOT NULL, qty INTEGER)")
    return found


HEAD = {"id": "orderId", "total": "sum.amount", "note": "note"}
LINES = {"table": "order_lines", "from": "items", "columns": ["sku", "qty"], "key_from_parent": {"order_id": "orderId"}}


def order(id: Any = 7, amount: Any = 12.5, **more: Any) -> dict[str, Any]:
    """A document."""
    return {"orderId": id, "sum": {"amount": amount}} | more


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "answer"), [(False, b'[{"id":7,"note":"a"}]'), (True, b'{"id":7,"note":"a"}')])
def test_a_select_answers_its_rows(database, one, answer):
    """A list of objects, or with `one` the first; values are bound."""
    database.run("INSERT INTO orders (id, total, note) VALUES (7, 1, 'a'), (8, 2, 'b')")
    adapter = opened(database, {"look": {"select": "SELECT id, note FROM orders WHERE id = :id", "one": one,
                                         "parameters": {"id": "orderId"}}})  # fmt: skip
    reply = adapter.send(message(order(), operation="look"))
    assert (reply.body, reply.content_type, reply.detail) == (answer, "application/json", "1 rows")
    assert adapter.send(message(order(9), 2, operation="look")).body == (b"null" if one else b"[]")


def test_an_answer_has_an_end(database):
    """More than 1,000 rows are refused, and the operation is a read."""
    database.run("INSERT INTO order_lines (order_id, sku, qty) VALUES " + ", ".join(["(1, 'a', 1)"] * 1001))
    adapter = opened(database, {"look": {"select": "SELECT * FROM order_lines"}})
    with pytest.raises(Refused, match="more than 1000 rows"):
        adapter.send(message(order(), operation="look"))
    assert SqlAdapter.effect(adapter.settings, SqlOperation(select="select 1")) == "none"


@pytest.mark.parametrize("given", [{"select": "DELETE FROM orders"}, {"select": "select 1", "key": "id"},
                                   {"insert": "orders", "columns": ["id"], "one": True}])  # fmt: skip
def test_a_select_only_reads(given):
    """What is none is a finding."""
    with pytest.raises(ValidationError):
        SqlOperation(**given)


# --- what each does -----------------------------------------------------------------------------------------------


def test_an_insert_takes_fields_by_path_and_leaves_defaults_alone(database):
    """What the message does not have is left out; null is written."""
    adapter = opened(database, {"write": {"insert": "orders", "columns": HEAD | {"state": "state"}}})
    adapter.send(message(order()))
    adapter.send(message(order(8, state=None), 2))
    rows = database.run("SELECT id, total, note, state FROM orders ORDER BY id")
    assert [(id, float(total), note, state) for id, total, note, state in rows] == [
        (7, 12.5, None, "open"),
        (8, 12.5, None, None),
    ]


def test_an_upsert_adds_or_changes_the_row_with_its_key(database):
    """Sent twice, it is there once; sent changed, it is changed."""
    adapter = opened(database, {"write": {"upsert": "orders", "key": "id", "columns": HEAD}})
    for amount in (1, 1, 2):
        adapter.send(message(order(7, amount)))
    assert [(id, float(total)) for id, total in database.run("SELECT id, total FROM orders")] == [(7, 2.0)]


def test_an_upsert_without_a_unique_index_is_refused_before_it_adds_rows(database):
    """It would add a row each time."""
    adapter = opened(database, {"write": {"upsert": "order_lines", "key": "order_id", "columns": ["sku"]}})
    with pytest.raises(EndpointError, match="no unique index on \\(order_id\\)"):
        adapter.send(message({"order_id": 1, "sku": "x"}))
    with pytest.raises(EndpointError, match="no unique index"):
        adapter.check()


def test_an_update_of_no_row_is_refused_and_a_delete_of_none_is_done(database):
    """A change that changes nothing is a mistake; what is gone already is what a repeated delete finds."""
    operations = {
        "write": {"update": "orders", "key": "id", "columns": {"id": "orderId", "note": "note"}},
        "drop": {"delete": "orders", "key": "id", "columns": {"id": "orderId"}},
    }
    adapter = opened(database, operations)
    with pytest.raises(Refused, match=r"orders has no row with id = \{orderId\}"):
        adapter.send(message(order(note="x")))
    database.run("INSERT INTO orders (id) VALUES (7)")
    adapter.send(message(order(note="x")))
    assert database.run("SELECT note FROM orders") == [("x",)]
    assert "deleted" in adapter.send(message(order(), operation="drop")).detail
    assert "nothing to delete" in adapter.send(message(order(), operation="drop")).detail


def test_head_and_lines_are_one_transaction(database):
    """A line that does not fit leaves no head behind; an upsert leaves just the lines of the last message."""
    adapter = opened(database, {"write": {"upsert": "orders", "key": "id", "columns": HEAD, "lines": LINES}})
    with pytest.raises(Refused):
        adapter.send(message(order(items=[{"sku": "a", "qty": 1}, {"sku": None}])))
    assert database.run("SELECT * FROM orders") == []
    adapter.send(message(order(items=[{"sku": "a", "qty": 1}, {"sku": "b"}])))
    adapter.send(message(order(items=[{"sku": "c", "qty": 3}, {"sku": "b"}])))
    assert sorted(database.run("SELECT order_id, sku, qty FROM order_lines")) == [(7, "b", None), (7, "c", 3)]


def test_a_statement_binds_its_parameters_and_nothing_else(database):
    """What looks like SQL in a message is a text; a colon in quotes is no parameter."""
    text = "INSERT INTO orders (id, note, state) VALUES (:id, :note, ':x')"
    adapter = opened(database, {"write": {"execute": text, "parameters": {"id": "orderId"}}})
    evil = "'); --"
    adapter.send(message(order(note=evil)))
    assert database.run("SELECT id, note, state FROM orders") == [(7, evil, ":x")]
    with pytest.raises(Refused, match="no note for the parameter :note"):
        adapter.send(message(order(8)))
    with pytest.raises(Refused, match=":note takes a single value"):
        adapter.send(message(order(8, note=["a"])))


# --- what fits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("id", "seven", "column id .* 'seven'"),
        ("id", 7.5, "whole number"),
        ("total", True, "number is needed"),
        ("placed", "yesterday", "column placed .* 'yesterday'"),
        ("note", "longer than ten", "15 characters, and 10 fit"),
        ("note", {"a": 1}, "column note"),
        ("note", "nul\0", "NUL"),
        ("note", "\ud800", "half of a character pair"),
    ],
)
def test_what_does_not_fit_is_refused_with_column_and_value(database, column, value, said):
    """Nothing is cut, rounded or guessed, and the database is not asked to."""
    adapter = opened(database, {"write": {"upsert": "orders", "key": "id", "columns": ["id", column]}})
    with pytest.raises(Refused, match=said):
        adapter.send(message({"id": 7} | {column: value}))
    assert database.run("SELECT * FROM orders") == []


def test_values_arrive_as_the_column_has_them(database):
    """A long number as text, a time with a zone into a column without: in UTC."""
    adapter = opened(database, {"write": {"insert": "orders", "columns": ["id", "total", "placed"]}})
    adapter.send(message({"id": "7", "total": "123456789012.25", "placed": "2026-03-01T12:00:00+02:00"}))
    ((total, placed),) = database.run("SELECT total, placed FROM orders")
    assert float(total) == 123456789012.25
    assert str(placed) == "2026-03-01 10:00:00"


def test_a_constraint_says_no_to_the_message(database):
    """Refused, with the database's own words, and never the values of the statement."""
    adapter = opened(database, {"write": {"insert": "orders", "columns": HEAD}})
    with pytest.raises(Refused, match=r"(?i)constraint"):
        adapter.send(message(order(amount=-1)))


def test_names_are_quoted(database):
    """Spaces, umlauts, capitals and words of SQL are names like others."""
    database.run('CREATE TABLE "Order Größe" ("select" INTEGER, "Büro Nr" VARCHAR(5))')
    adapter = opened(database, {"write": {"insert": "Order Größe", "columns": {"select": "a", "Büro Nr": "b"}}})
    adapter.send(message({"a": 1, "b": "x"}))
    assert database.run('SELECT * FROM "Order Größe"') == [(1, "x")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"insert": "orders; DROP TABLE x", "columns": ["a"]},
        {"insert": 'a"b', "columns": ["a"]},
        {"insert": "orders", "columns": {"a": "b c"}},
        {"insert": "orders"},
        {"upsert": "orders", "columns": ["a"]},
        {"update": "orders", "key": "a", "columns": ["a"]},
        {"insert": "a", "delete": "a"},
        {"execute": "DELETE FROM a; DELETE FROM b"},
        {"execute": "DELETE FROM a -- all"},
        {"execute": "DELETE FROM a WHERE b = 'x\\'"},
        {"execute": "DELETE FROM a WHERE b = 'x"},
        {"execute": "COMMIT"},
        {"execute": "DELETE FROM a WHERE b = :c", "parameters": ["d"]},
        {},
    ],
)
def test_a_wrong_operation_is_a_finding(wrong):
    """Names are names, a statement is one statement, and nothing is said that would do nothing."""
    with pytest.raises(ValidationError):
        SqlOperation(**wrong)


# --- exactly once -------------------------------------------------------------------------------------------------


def test_the_effect_follows_from_operation_and_inbox():
    """Only what can be repeated counts as such."""
    plain, inbox = SqlSettings(url="sqlite:///x"), SqlSettings(url="sqlite:///x", inbox_table="inbox")
    insert = SqlOperation(insert="a", columns=["b"])
    upsert = SqlOperation(upsert="a", key="b", columns=["b"])
    assert [SqlAdapter.effect(plain, insert), SqlAdapter.effect(plain, upsert)] == ["unkeyed", "idempotent"]
    assert [SqlAdapter.effect(inbox, insert), SqlAdapter.effect(inbox, upsert)] == ["keyed", "keyed"]


def test_a_missing_inbox_is_named_with_the_statement_that_makes_it(database):
    """The database's owner can run what is said, and then it works."""
    adapter = opened(database, {"write": {"insert": "orders", "columns": HEAD}}, inbox_table="esb_inbox")
    with pytest.raises(EndpointError, match="CREATE TABLE esb_inbox") as raised:
        adapter.check()
    database.run("CREATE TABLE" + str(raised.value).partition("CREATE TABLE")[2])
    adapter.send(message(order()))
    assert adapter.send(message(order(8))).detail == "took effect before"
    assert database.run("SELECT id FROM orders") == [(7,)]


def test_a_refused_message_leaves_no_trace_in_the_inbox(database):
    """Corrected and sent again under its key, it takes effect."""
    settings = {"inbox_table": "esb_inbox", "create_inbox": True}
    adapter = opened(database, {"write": {"insert": "orders", "columns": HEAD}}, **settings)
    with pytest.raises(Refused):
        adapter.send(message(order(amount=-1)))
    adapter.send(message(order(amount=1)))
    assert database.run("SELECT id FROM orders") == [(7,)]


SENDER = """
    import os, signal, sys
    from sqlalchemy import Engine, event
    from tests.adapters.databases import message, opened
    class Database: url, password = sys.argv[1], sys.argv[2] or None
    columns = {"id": "orderId", "total": "sum.amount"}
    adapter = opened(Database, {"write": {"insert": "orders", "columns": columns}}, inbox_table="esb_inbox")
    kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[3] == "before commit":
        event.listen(Engine, "commit", kill)
    adapter.send(message({"orderId": 7, "sum": {"amount": 1}}))
    kill()
"""


@pytest.mark.parametrize(("when", "rows"), [("before commit", 0), ("before answer", 1)])
def test_a_kill_around_the_effect_neither_loses_nor_doubles_it(database, when, rows):
    """The process dies; whoever sends the message again makes it one row."""
    settings = {"inbox_table": "esb_inbox", "create_inbox": True}
    adapter = opened(database, {"write": {"insert": "orders", "columns": HEAD}}, **settings)
    adapter.check()
    command = [sys.executable, "-c", textwrap.dedent(SENDER), database.url, database.password or "", when]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(database.run("SELECT id FROM orders")) == rows
    adapter.send(message(order(7, 1)))
    assert len(database.run("SELECT id FROM orders")) == 1


# --- what is true after a failure ---------------------------------------------------------------------------------


def test_a_lock_that_somebody_holds_means_not_now(database):
    """Nothing was done, so it can be tried again."""
    database.run("INSERT INTO orders (id) VALUES (7)")
    adapter = opened(database, {"write": {"update": "orders", "key": "id", "columns": HEAD}})
    other = database.other()
    try:
        other.execute("UPDATE orders SET note = 'mine'")
        with pytest.raises(Busy):
            adapter.send(message(order(note="late"), timeout=3.0))  # the database gives up after four fifths of it
    finally:
        other.rollback()
        other.close()
    adapter.send(message(order(note="late")))
    assert database.run("SELECT note FROM orders") == [("late",)]


@pytest.mark.postgresql
def test_silence_before_the_commit_is_no_effect_and_ends_in_time(postgresql):
    """The network swallows everything: what was never committed did not happen."""
    database = PostgresDatabase(postgresql.database())
    database.run("CREATE TABLE orders (id INTEGER)")
    with Proxy(database.place) as proxy:
        database.url = database.at(proxy.port)
        adapter = opened(database, {"write": {"insert": "orders", "columns": {"id": "orderId"}}})
        adapter.send(message(order(1)))
        proxy.silence()
        began = time.monotonic()
        with pytest.raises(Unreachable, match="nothing was committed"):
            adapter.send(message(order(2), timeout=0.5))
        assert time.monotonic() - began < 5
        proxy.cut()
        proxy.resume()
        adapter.send(message(order(3)))
    assert database.run("SELECT id FROM orders ORDER BY id") == [(1,), (3,)]


@pytest.mark.postgresql
def test_a_connection_lost_while_committing_leaves_the_effect_unknown(postgresql):
    """The server goes away in the middle of a commit."""
    database = PostgresDatabase(postgresql.database())
    database.run("CREATE TABLE orders (id INTEGER)")
    database.run("CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                 "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$")  # fmt: skip
    database.run("CREATE CONSTRAINT TRIGGER die AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED "
                 "FOR EACH ROW EXECUTE FUNCTION die()")  # fmt: skip
    adapter = opened(database, {"write": {"insert": "orders", "columns": {"id": "orderId"}}})
    with pytest.raises(Interrupted):
        adapter.send(message(order(1)))


def test_a_change_of_schema_is_noticed(database):
    """A column that appears is found without a new start; one that is missing is named."""
    adapter = opened(database, {"write": {"insert": "orders", "columns": {"id": "orderId", "extra": "note"}}})
    with pytest.raises(EndpointError, match="orders has no column extra; it has id, total"):
        adapter.send(message(order(note="x")))
    database.run("ALTER TABLE orders ADD COLUMN extra VARCHAR(5)")
    adapter.send(message(order(note="x")))
    assert database.run("SELECT extra FROM orders") == [("x",)]


@pytest.mark.postgresql
def test_connections_are_used_again(postgresql):
    """Sixteen at once, twice: the second time over the connections of the first."""
    database = PostgresDatabase(postgresql.database())
    database.run("CREATE TABLE seen (pid INTEGER, n INTEGER)")
    statement = "INSERT INTO seen SELECT pg_backend_pid(), :n FROM pg_sleep(0.05)"
    adapter = opened(database, {"write": {"execute": statement, "parameters": {"n": "orderId"}}})
    for wave in range(2):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n, wave=wave: adapter.send(message(order(wave), n)), range(32)))
    ((pids,),) = database.run("SELECT count(DISTINCT pid) FROM seen")
    assert pids <= 16


def test_of_a_batch_a_wrong_message_takes_nothing_with_it(database):
    """Its lines are taken back with it; what its neighbours wrote stays, and a repeat of all has no second effect."""
    operation = {"insert": "orders", "columns": HEAD, "lines": LINES}
    adapter = opened(database, {"write": operation}, inbox_table="inbox", create_inbox=True)
    lines = [{"sku": "a", "qty": 1}]
    batch = [message(order(n, items=lines), n) for n in range(4)]
    batch[1] = message(order(1, items=[*lines, {"sku": None, "qty": 2}]), 1)
    batch[2] = message(order(2, amount=-5, items=lines), 2)
    for _ in range(2):
        outcomes = adapter.send_all(batch)
        assert [isinstance(outcome, Refused) for outcome in outcomes] == [False, True, True, False]
        assert all(str(outcome).startswith("erp: ") for outcome in outcomes[1:3])
    assert database.run("SELECT id FROM orders ORDER BY id") == [(0,), (3,)]
    assert database.run("SELECT order_id FROM order_lines ORDER BY order_id") == [(0,), (3,)]


@pytest.mark.postgresql
def test_a_batch_over_a_dead_line_ends_in_time(postgresql):
    """The whole of it has one limit, and nothing of it was committed."""
    database = PostgresDatabase(postgresql.database())
    database.run("CREATE TABLE orders (id INTEGER)")
    with Proxy(database.place) as proxy:
        database.url = database.at(proxy.port)
        adapter = opened(database, {"write": {"insert": "orders", "columns": {"id": "orderId"}}})
        adapter.send(message(order(1)))
        proxy.silence()
        with pytest.raises(Unreachable, match="nothing was committed"):
            adapter.send_all([message(order(n), n, timeout=0.5) for n in range(2, 50)])
        proxy.cut()
    assert database.run("SELECT id FROM orders") == [(1,)]


def test_what_is_closed_leaves_nothing_behind(database):
    """Each probe of an endpoint opens an adapter, looks at the tables and closes it, for as long as the bus runs."""
    before = _dialects()
    for _ in range(5):
        adapter = opened(database, {"write": {"insert": "orders", "columns": HEAD}})
        adapter.check()
        adapter.close()
    assert _dialects() <= before


def _dialects() -> int:
    gc.collect()
    return sum(isinstance(one, sa.engine.Dialect) for one in gc.get_objects())


def test_a_password_that_breaks_its_address_is_not_shown():
    """An @ in it would make its end the host, which errors name."""
    adapter = SqlAdapter("erp", SqlSettings(url=SecretStr("postgresql://shop:p@ss77@127.0.0.1:1/erp")), {})
    with pytest.raises(EndpointError, match="write one in a user or password as %40") as raised:
        adapter.open()
        adapter.check()
    assert "ss77" not in str(raised.value)
