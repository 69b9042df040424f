"""`esb groups`: what waits, and letting it go, with who and why in the audit."""

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

from esb.broker.port import Outgoing, flow_queue
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.store import open_store
from esb.worker.flow import FlowWorker

Run = Callable[..., Result]
FILES = {
    "esb.yaml": "bus: shop\n",
    "endpoints/shelf.yaml": "endpoint: shelf\nadapter: memory\nsettings: {}\nreceive: {}\noperations: {put: {}}\n",
    "flows/picking.yaml": """\
        flow: picking
        from: shelf
        steps:
          - aggregate: {by: order, size: 3, timeout: 1h}
          - send: shelf.put
        """,
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A bus in which two of three lines of an order are picked, one of another, and a third order is whole."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    picked = ["SO-1", "SO-1", "SO-2", "SO-3", "SO-3", "SO-3"]
    with closing(Bus(load(tmp_path, discover(), environ={}), discover())) as bus:
        bus.prepare()
        publisher, worker = bus.broker.publisher(), FlowWorker(bus.context)
        messages = [
            create(json.dumps({"order": o}).encode(), id=f"m{n}", type="picked", source="shelf")
            for n, o in enumerate(picked)
        ]
        publisher.publish([Outgoing(message, flow_queue("picking")) for message in messages])
        worker.cycle()
        worker.cycle()
        worker.finish()
        publisher.close()
    return tmp_path


def data(result: Result) -> Any:
    """What a command printed for programs."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_what_waits_is_listed(esb: Run, shop: Path) -> None:
    """The newest first, with what for; those that have ended when asked."""
    listed = data(esb("groups", "list", "--json", "-C", shop))
    assert {(row["key"], row["waits"]) for row in listed} == {
        ("SO-1", "2 of 3 are there"),
        ("SO-2", "1 of 3 are there"),
    }
    assert "2 of 3 are there" in esb("groups", "list", "--key", "SO-1", "-C", shop).stdout
    everything = data(esb("groups", "list", "--all", "--json", "-C", shop))
    assert [row["reason"] for row in everything if row["key"] == "SO-3"] == ["complete"]
    assert data(esb("groups", "list", "--flow", "none", "--json", "-C", shop)) == []


def test_one_is_shown_with_its_messages(esb: Run, shop: Path) -> None:
    """By its key or the beginning of its id; no document is."""
    shown = esb("groups", "show", "SO-1", "-C", shop)
    assert shown.exit_code == 0, shown.stderr
    assert [line.split()[:2] for line in shown.stdout.splitlines()[-2:]] == [["1", "m0"], ["2", "m1"]]
    whole = data(esb("groups", "show", "SO-1", "--json", "-C", shop))
    assert [one["message"] for one in whole["messages"]] == ["m0", "m1"]
    assert data(esb("groups", "show", whole["id"][:30], "--json", "-C", shop))["id"] == whole["id"]


def test_it_goes_on_when_a_person_wants_it(esb: Run, shop: Path) -> None:
    """Once, with a reason that the audit keeps."""
    assert esb("groups", "release", "SO-1", "-C", shop).exit_code == 2
    done = esb("groups", "release", "SO-1", "--why", "the third is sold out", "-C", shop)
    assert (done.exit_code, done.stderr.strip()) == (0, "picking SO-1 goes on: 2 of 3 are there")
    again = esb("groups", "release", "SO-1", "--reason", "again", "-C", shop)
    assert (again.exit_code, "no open group" in again.stderr) == (1, True)
    with closing(open_store("embedded", shop / "data")) as store, store.reading() as t:
        (entry,) = t.audit.list()
        assert t.outbox.count() == 1
    assert (entry.who, entry.act, entry.reason) == (getpass.getuser(), "release group", "the third is sold out")


def test_what_is_not_there_is_not_found(esb: Run, shop: Path) -> None:
    """With the exit code for that."""
    assert esb("groups", "show", "SO-9", "-C", shop).exit_code == 3
