"""The overview: quick however many messages there are, true about what runs and what does not."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from esb.broker.port import Outgoing, flow_queue
from esb.errors import BrokerDown
from esb.message import create
from esb.store import BreakerRow, Hop, Parked, Status
from esb.worker.sweeper import Heartbeat
from tests.cli.processes import until


def fill(bus, count: int) -> None:
    """Messages of the last hour, each through a flow to an endpoint; every tenth is parked, for one of 20 causes."""
    now = bus.context.clock()
    body = b"x" * 700
    for start in range(0, count, 5000):
        hops, parked = [], []
        for n in range(start, min(start + 5000, count)):
            at = now - 3500 * n / count
            common = {
                "correlation_id": f"m{n}",
                "type": "order",
                "received_at": at,
                "ended_at": at + 0.05,
                "body": body,
            }
            hops += [
                Hop(message_id=f"m{n}", place="in:orders-in", status=Status.ACCEPTED, sent=1, **common),
                Hop(message_id=f"m{n}", place="flow:orders", status=Status.COMPLETED, sent=1, **common),
                Hop(message_id=f"c{n}", place="out:orders-out", status=Status.COMPLETED, **common),
            ]
            if n % 10 == 0:
                message = create(body, id=f"m{n}", type="order", source="x", time=at)
                error = f"cause {'abcdefghijklmnopqrst'[n // 10 % 20]}"
                parked.append(Parked(
                    message=message, place="out:orders-out", queue="q", kind="contract", error=error, parked_at=at
                ))  # fmt: skip
        with bus.store.transaction() as t:
            t.tracking.record(hops)
            t.parked.add(parked)


def test_no_query_reads_all_messages(bus, browser):
    """However many there are, each look reads an index, or a bounded number of rows."""
    fill(bus, 100)
    asked = []
    sa.event.listen(bus.store.engine, "checkout", lambda driver, *_: driver.set_trace_callback(asked.append))
    client = browser("viewer")
    for over in ("hour", "day", "week"):
        assert client.get(f"/?over={over}").status_code == 200
    with bus.store.engine.connect() as connection:
        plans = [
            (row[3], sql)
            for sql in list(asked)
            if "FROM hops" in sql or "FROM parked" in sql
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")
        ]
    assert len(plans) > 20
    assert [plan for plan in plans if plan[0].startswith(("SCAN hops", "SCAN parked"))] == []


def test_messages_are_counted_and_timed(bus, browser):
    """Those of the last hour, those of them that were parked, and how long the others took."""
    fill(bus, 1000)
    page = browser("viewer").get("/").text
    assert "<dd>1\u202f000</dd>" in page
    assert "10.0 %" in page
    assert page.count("<dd>50 ms</dd>") == 3
    assert "and 12 more causes" in page


def test_an_empty_bus_says_what_is_missing(browser):
    """Nothing runs: that is an alarm; nothing came in: that is not."""
    client = browser("viewer")
    page = until(lambda: "All queues are empty" in (text := client.get("/").text) and text)
    assert "No process of the role bus is alive" in page
    assert "Nothing waits for you" in page


def test_what_runs_is_told(bus, browser):
    """Processes by their lease, an open breaker, what waits in queues."""
    Heartbeat(bus.context).beat()
    with bus.store.transaction() as t:
        t.breakers.change("orders-out", 0, BreakerRow(endpoint="orders-out", state="open", failures=5, opened_at=1.0))
    publisher = bus.broker.publisher()
    publisher.publish([Outgoing(create(b"{}", type="x", source="x", time=1.0), flow_queue("orders"))] * 7)
    client = browser("viewer")
    page = until(lambda: "esb.flow.orders" in (text := client.get("/").text) and text)
    assert "No process of the role bus" not in page
    assert "<strong>bus</strong>" in page
    assert "after 5 failures" in page
    assert '<span class="number">7</span><span><code>esb.flow.orders</code>' in page


def test_a_broker_that_is_away_is_an_alarm(bus, browser, monkeypatch):
    """The page comes all the same, and does not wait for it."""

    def down():
        raise BrokerDown("no route to <b>rabbit</b>")

    monkeypatch.setattr(bus.broker, "check", down)
    client = browser("viewer")
    until(lambda: "The broker does not answer: no route to &lt;b&gt;rabbit&lt;/b&gt;" in client.get("/").text)


def test_another_definition_is_an_alarm(bus, browser):
    """Somebody activated another one; this process shows an older."""
    with bus.store.transaction() as t:
        t.definitions.activate("other", {})
    assert "Another definition is active" in browser("viewer").get("/").text


@pytest.mark.parametrize("over", ["", "century", "<script>"])
def test_an_unknown_span_is_an_hour(browser, over):
    """Nothing of the address comes back as markup."""
    page = browser("viewer").get("/", query_string={"over": over}).text
    assert "an hour ago" in page
    assert "<script>" not in page


def test_names_of_messages_stay_text(bus, browser):
    """A business key or type with markup in it."""
    script = "<script>alert(1)</script>"
    message = create(b"{}", id="m", type=script, source="x", subject=script, time=1.0)
    with bus.store.transaction() as t:
        t.parked.add([Parked(message=message, place=script, queue="q", kind=script, error=script, parked_at=1.0)])
    page = browser("viewer").get("/").text
    assert script not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3
