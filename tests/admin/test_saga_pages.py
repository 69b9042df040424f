"""The pages of sagas: what waits for a person comes first, and an act is done with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.saga import Saga
from esb.saga.state import Entry, Leg, StepState
from esb.worker.saga_round import row_of

EVIL = "<script>alert(1)</script>"
FILE = """\
saga: checkout
title: An order is kept and sent on
from: order.received/v1
key: orderId
steps:
  - {name: keep, call: archive.keep, compensate: archive.keep}
  - {name: hand-on, call: orders-out.order, pivot: true}
"""
BODY = b'{"orderId": "O-1", "customer": {"name": "Ada"}, "currency": "EUR"}'


@pytest.fixture
def bus(place: Path) -> Iterator[Bus]:
    """The bus with a saga in it; nothing of it runs."""
    (place / "sagas").mkdir()
    (place / "sagas" / "checkout.yaml").write_text(FILE)
    made = Bus(load(place, discover()), discover())
    made.prepare()
    yield made
    made.close()


def begun(bus: Bus, id: str, **changes: Any) -> Saga:
    """A saga in the store."""
    now = time.time()
    trigger = create(BODY, id=f"t-{id}", type="order.received", version=1, source="flow")
    steps = (
        StepState("keep", Leg("done", 1, 1, now), request=b'{"secret": "of the body"}'),
        StepState("hand-on", Leg("failed", 3, 3, now, error_kind="refused", error=f"no {EVIL}")),
    )
    given = {"status": "stuck", "at": 1, "reason": f"declined {EVIL}", "history": (Entry(now, "keep", "done"),)}
    saga = Saga(
        id=id, name="checkout", key=f"O-{id}", definition=bus.definition.hash, trigger=trigger, steps=steps, pivot=1,
        started_at=now, updated_at=now, **(given | changes),
    )  # fmt: skip
    with bus.store.transaction() as t:
        assert t.sagas.start(row_of(saga))
    return saga


def test_an_empty_list_says_what_a_saga_is(browser):
    """And how one begins."""
    page = browser("viewer").get("/sagas")
    assert (page.status_code, "None has begun yet" in page.text) == (200, True)


def test_what_waits_for_a_person_comes_first(bus, browser):
    """Above all others, whatever began later."""
    begun(bus, "stuck-one")
    begun(bus, "later", status="completed", at=2, reason="", ended_at=time.time())
    page = browser("viewer").get("/sagas").text
    assert page.index("Waits for a person") < page.index("/sagas/stuck-one") < page.index("/sagas/later")
    assert EVIL not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=checkout", True),
        ("key=O-a", True),
        ("key=O-b", False),
        ("status=running", False),
        ("from=2999-01-01", False),
    ],
)
def test_sagas_are_filtered(bus, browser, query, found):
    """By name, key, state and time; what is asked stands in the address."""
    begun(bus, "a")
    assert ("/sagas/a" in browser("viewer").get(f"/sagas?{query}").text) is found


def test_one_saga_tells_its_steps_and_what_is_possible(bus, browser):
    """Each step with its answer or error, and only the acts that it knows now; bodies are not shown."""
    saga = begun(bus, "one")
    page = browser("operator").get("/sagas/one").text
    for word in ("keep", "hand-on", "pivot", "refused", "sent 3 times", "Waits for a person", "/journey?id=t-one"):
        assert word in page, word
    assert [act for act in ("retry", "skip", "compensate", "end") if f"/sagas/one/{act}" in page] == list(saga.acts())
    assert EVIL not in page and "of the body" not in page


def test_an_operator_ends_a_saga_with_a_reason(bus, browser):
    """The audit has who and why; a second time there is nothing left to end."""
    begun(bus, "one")
    client = browser("operator")
    assert client.post("/sagas/one/end").status_code == 400
    assert "is ended now" in client.post("/sagas/one/end", data={"reason": "called them"}, follow_redirects=True).text
    assert "not possible" in client.post("/sagas/one/end", data={"reason": "again"}, follow_redirects=True).text
    with bus.store.reading() as t:
        assert t.sagas.get("one").status == "ended"
        assert [(e.who, e.act, e.reason) for e in t.audit.list("one")] == [("operator", "saga end", "called them")]


def test_a_viewer_changes_no_saga(bus, browser):
    """It may look."""
    begun(bus, "one")
    client = browser("viewer")
    for act in ("retry", "skip", "compensate", "end"):
        assert client.post(f"/sagas/one/{act}", data={"reason": "x"}).status_code == 403
    assert client.get("/sagas/one").status_code == 200
    assert client.get("/sagas/none").status_code == 404


def test_the_map_has_the_saga(bus, browser):
    """With what starts it and whom it asks."""
    page = browser("viewer").get("/flows").text
    assert "/sagas?name=checkout" in page
