"""`esb sagas`: list, show and the acts of a person, each with who and why in the audit."""

from __future__ import annotations

import getpass
import json
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.saga import Answer, advance, start
from esb.store import AuditEntry, open_store
from esb.worker.saga_round import row_of

Run = Callable[..., Result]
FILES = {
    "esb.yaml": "bus: shop\n",
    "endpoints/stock.yaml": """\
        endpoint: stock
        adapter: memory
        settings: {}
        operations: {reserve: {effect: keyed}, release: {effect: keyed}, charge: {effect: keyed}}
        """,
    "contracts/order/v1.json": '{"type": "object"}',
    "sagas/checkout.yaml": """\
        saga: checkout
        from: order/v1
        key: id
        steps:
          - {name: reserve, call: stock.reserve, compensate: stock.release}
          - {name: charge, call: stock.charge}
        """,
}
DECLINED = ("reserve", "action", True), ("charge", "action", False), ("reserve", "undo", False)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A bus with a saga that runs (SO-1) and one whose compensation keeps failing (SO-2)."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    with closing(Bus(load(tmp_path, discover(), environ={}), discover())) as bus:
        bus.prepare()
        definition = bus.context.versions.sagas["checkout"]
        with bus.store.transaction() as t:
            for number, said in enumerate(((), DECLINED), 1):
                trigger = create(json.dumps({"id": f"SO-{number}"}).encode(), type="order", version=1, source="shop")
                saga = start(definition, trigger, f"SO-{number}", float(number)).saga
                for step, direction, done in said:
                    why = {"error_kind": "refused", "error": "no such shelf"}
                    answer = Answer(step=step, direction=direction, attempt=1, done=done, **why)
                    saga = advance(definition, saga, answer, 5.0).saga
                t.sagas.start(row_of(saga))
    return tmp_path


def data(result: Result) -> Any:
    """What a command printed for programs."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def audit(shop: Path) -> list[AuditEntry]:
    with closing(open_store("embedded", shop / "data")) as store, store.reading() as t:
        return t.audit.list()


def test_sagas_are_listed_newest_first(esb: Run, shop: Path) -> None:
    """With state, step and reason; filters narrow it."""
    result = esb("sagas", "list", "-C", shop)
    assert [line.split()[2:6] for line in result.stdout.splitlines()[1:]] == [
        ["checkout", "SO-2", "stuck", "reserve"],
        ["checkout", "SO-1", "running", "reserve"],
    ]
    assert [row["key"] for row in data(esb("sagas", "list", "-C", shop, "--status", "stuck", "--json"))] == ["SO-2"]
    assert esb("sagas", "list", "-C", shop, "--key", "SO-9").stderr == "no sagas\n"


def test_sagas_stand_among_the_flows(esb: Run, shop: Path) -> None:
    """With how many stand where; one by name has its steps drawn, and those that wait for a person are pointed out."""
    (row,) = data(esb("flows", "list", "-C", shop, "--json"))
    assert (row["flow"], row["kind"], row["running"], row["stuck"], row["completed"]) == ("checkout", "saga", 1, 1, 0)
    result = esb("flows", "list", "-C", shop, "checkout")
    assert "  reserve: stock.reserve, undone by stock.release" in result.stdout
    assert "checkout: 1 stuck" in result.stderr
    assert "did you mean 'checkout'?" in esb("flows", "list", "-C", shop, "chekout").stderr


def test_one_saga_is_shown_with_its_steps(esb: Run, shop: Path) -> None:
    """By its key: what took place, what is undone, what happened when, what can be done; no documents."""
    result = esb("sagas", "show", "-C", shop, "SO-2")
    assert "the compensation of reserve fails: no such shelf" in result.stdout
    assert "compensation failed  refused: no such shelf" in result.stdout
    assert result.stderr == "possible now: retry, skip, end\n"
    shown = data(esb("sagas", "show", "-C", shop, "SO-2", "--json"))
    assert [(step["name"], step["action"]["state"]) for step in shown["steps"]] == [
        ("reserve", "done"),
        ("charge", "failed"),
    ]
    assert shown["acts"] == ["retry", "skip", "end"]
    assert "request" not in json.dumps(shown)


def test_a_saga_that_is_not_there(esb: Run, shop: Path) -> None:
    """Exit code 3, and where to look."""
    for command in (("show",), ("retry", "--reason", "x")):
        result = esb("sagas", *command, "-C", shop, "SO-9")
        assert (result.exit_code, "`esb sagas list`" in result.stderr) == (3, True)


def test_an_act_is_audited(esb: Run, shop: Path) -> None:
    """Who is the user of the machine, why is asked for; the state before and behind it is kept with them."""
    result = esb("sagas", "skip", "-C", shop, "SO-2", "--why", "released by phone", "--yes")
    assert result.stderr == "checkout SO-2: stuck → compensated\n"
    (entry,) = audit(shop)
    assert (entry.who, entry.act, entry.reason) == (getpass.getuser(), "saga skip", "released by phone")
    assert entry.detail == "checkout SO-2: stuck at reserve → compensated"


def test_an_act_wants_a_reason_and_a_yes(esb: Run, shop: Path) -> None:
    """Without the one it is wrong usage, without the other it asks, and no means no."""
    assert esb("sagas", "end", "-C", shop, "SO-2", "--yes").exit_code == 2
    asked = esb("sagas", "end", "-C", shop, "SO-2", "--reason", "x", input="n\n")
    assert (asked.exit_code, "End checkout SO-2 (stuck)?" in asked.stderr) == (1, True)
    assert audit(shop) == []
    assert esb("sagas", "end", "-C", shop, "SO-2", "--reason", "x", input="y\n").exit_code == 0
    assert data(esb("sagas", "show", "-C", shop, "SO-2", "--json"))["status"] == "ended"


def test_an_act_that_is_not_possible(esb: Run, shop: Path) -> None:
    """The error names what is; nothing is written."""
    result = esb("sagas", "retry", "-C", shop, "SO-1", "--reason", "impatient")
    assert result.exit_code == 1
    assert "saga checkout SO-1 is running: retry is not possible, only compensate, end" in result.stderr
    assert audit(shop) == []
    assert esb("sagas", "compensate", "-C", shop, "SO-1", "--reason", "changed her mind", "--yes").exit_code == 0
