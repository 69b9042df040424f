"""Flows that start by themselves: what is found wrong, and where."""

from __future__ import annotations

import pytest
from shops import Shop, place

SALES = "flows/sales.yaml"


def scheduled(shop: Shop, source: str) -> None:
    """A flow of its own that starts by a schedule."""
    shop.write("flows/report.yaml", f"flow: report\nfrom: {source}\nsteps:\n  - publish: order.placed/v1\n")


def test_a_schedule_is_a_source(shop: Shop) -> None:
    """Beside endpoints and events; a person reads it as it was written."""
    scheduled(shop, '{schedule: "0  18 * * mon-fri", tz: Europe/London, catch_up: false}')
    flow = shop.definition().flows["report"]
    assert (flow.source, flow.origin, flow.is_event) == ("schedule:report", "0 18 * * mon-fri Europe/London", False)
    assert flow.schedule.catch_up is False
    scheduled(shop, "{every: 5m}")
    assert shop.definition().flows["report"].origin == "every 5m"


def test_its_document_is_known(shop: Shop) -> None:
    """A path that a schedule's message does not have is a finding like any other."""
    shop.write(
        "flows/report.yaml",
        "flow: report\nfrom: {every: 1h}\nsteps:\n  - set: {at: scheduled, since: previous, x: schedulde}\n"
        "  - publish: order.placed/v1\n",
    )
    found = shop.only()
    assert place(found) == "flows/report.yaml:4:46 unknown-path"
    assert found.hint == "scheduled"


@pytest.mark.parametrize(
    ("source", "where", "says", "hint"),
    [
        ('{schedule: "0 25 * * *"}', "2:18 bad-value", "the hour '25' is not 0 to 23", ""),
        ('{schedule: "0 18 * *"}', "2:18 bad-value", "it has 4 fields, not five", ""),
        ('{schedule: "0 0 31 2 *"}', "2:18 bad-value", "it never comes to pass", ""),
        ('{schedule: "0 0 1 * *", tz: Europe/Lodnon}', "2:35 bad-value", "no time zone", "Europe/London"),
        ("{every: 0}", "2:15 bad-value", "less than a second", ""),
        ("{every: 5m, tz: UTC}", "2:23 bad-value", "remove tz", ""),
        ('{every: 5m, schedule: "0 0 1 * *"}', "2:7 bad-value", "by one of two", ""),
        ("{tz: UTC}", "2:7 bad-value", "by one of two", ""),
        ('{shedule: "0 0 1 * *"}', "2:8 unknown-key", "no key 'shedule'", "schedule"),
        ("{every: soon}", "2:15 bad-value", "a duration such as", ""),
    ],
)
def test_what_is_wrong_is_found(shop: Shop, source: str, where: str, says: str, hint: str) -> None:
    """At the value, with the sentence that helps, and the nearest word."""
    scheduled(shop, source)
    found = shop.only()
    assert place(found) == f"flows/report.yaml:{where}"
    assert says in found.text
    assert found.hint == hint
