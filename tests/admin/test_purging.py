"""Channel Purger on the pages of flows and endpoints: what waits is taken out of its queue, with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from esb.admin import purging
from esb.broker.port import Outcome, Outgoing, endpoint_queue, flow_queue
from esb.bus import Bus
from esb.message import create

EVIL = "<script>alert(1)</script>"
WHY = {"reason": f"test orders {EVIL}"}
PLACES = [("flows", "orders", flow_queue("orders"), "flow:orders")]
PLACES += [("endpoints", "orders-out", endpoint_queue("orders-out"), "out:orders-out")]


@pytest.fixture(params=PLACES, ids=["flow", "endpoint"])
def channel(request: pytest.FixtureRequest, bus: Bus) -> Iterator[tuple[str, str, str]]:
    """The page of a flow or an endpoint, its queue with three messages, and the place that these are at."""
    area, name, queue, place = request.param
    publisher = bus.broker.publisher("tests")
    batch = [create(b"{}", id=f"m{n}", type="order", source="shop", subject=f"A-{n}") for n in range(3)]
    properties = {} if area == "flows" else {"operation": "order"}
    outcomes = publisher.publish([Outgoing(one, queue, properties=properties) for one in batch])
    assert set(outcomes) == {Outcome.CONFIRMED}
    yield f"/{area}/{name}", queue, place
    publisher.close()


def waiting(bus: Bus, queue: str) -> int:
    return bus.broker.depths([queue])[queue].ready


def purge(browser: Any, page: str, **fields: str) -> Any:
    return browser("operator").post(f"{page}/purge", data=WHY | fields, follow_redirects=True)


def test_what_waits_is_discarded_with_the_reason(bus, browser, channel):
    """The page says how many; each is kept, the audit has who and why, and a purge of nothing is none."""
    page, queue, place = channel
    said = purge(browser, page)
    assert (said.status_code, "3 messages taken out of the queue" in said.text) == (200, True)
    assert "and discarded" in said.text and EVIL not in said.text
    assert waiting(bus, queue) == 0
    with bus.store.reading() as t:
        rows, (act, *_) = t.parked.list(status="discarded"), t.audit.list(place)
    assert {(row.place, row.kind, row.message.subject) for row in rows} == {
        (place, "purged", f"A-{n}") for n in range(3)
    }
    assert (act.who, act.act, act.reason, act.detail) == ("operator", "purge", WHY["reason"], "3 messages")
    assert "Nothing waits for" in purge(browser, page).text


def test_what_is_kept_stays_parked(bus, browser, channel):
    """For a person, who may send it on."""
    page, _, place = channel
    assert "and parked" in purge(browser, page, keep="yes").text
    with bus.store.reading() as t:
        assert [row.place for row in t.parked.list()] == [place] * 3


def test_nobody_purges_without_saying_why(bus, browser, channel):
    """Nor what is not there, nor by looking."""
    page, queue, _ = channel
    client = browser("operator")
    assert client.post(f"{page}/purge").status_code == 400
    assert client.get(f"{page}/purge").status_code in (404, 405)
    assert client.post(f"{page.rpartition('/')[0]}/nothing/purge", data=WHY).status_code == 404
    assert waiting(bus, queue) == 3


def test_a_viewer_sees_the_button_and_cannot_use_it(bus, browser, channel):
    """It says which role it needs; an operator's form says how much waits."""
    page, queue, _ = channel
    shown = browser("viewer").get(page).text
    assert ">Purge</button>" in shown and f'action="{page}/purge"' not in shown
    assert browser("viewer").post(f"{page}/purge", data=WHY).status_code == 403
    assert waiting(bus, queue) == 3
    assert f'action="{page}/purge"' in browser("operator").get(page).text


def test_what_is_too_much_for_one_page_stays_for_the_next(bus, browser, channel, monkeypatch):
    """It says how much that is."""
    monkeypatch.setattr(purging, "MOST", 2)
    page, queue, _ = channel
    said = purge(browser, page).text
    assert "2 messages taken out" in said and "Still waiting there: 1 message; purge once more" in said
    assert waiting(bus, queue) == 1


def test_what_a_running_bus_has_taken_stays_with_it(bus, browser, channel):
    """The page says so, and what would help."""
    page, queue, _ = channel
    consumer = bus.broker.consumer([queue], 2, "bus")
    assert len(consumer.take(2, 5.0)) == 2
    assert "A running bus has 2 in its hands" in purge(browser, page).text
    consumer.close()
    assert waiting(bus, queue) == 2


def test_an_endpoint_that_nothing_is_sent_to_has_nothing_to_purge(browser):
    """No button is there."""
    assert "/purge" not in browser("operator").get("/endpoints/orders-in").text
