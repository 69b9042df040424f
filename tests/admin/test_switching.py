"""What people set while the bus runs, on the pages: flows that are paused, detours, rates, rows of routing tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EVIL = "<script>alert(1)</script>"
STEERED = """
flow: steered
from: orders-in
steps:
  - map: row-to-order
  - detour: {wiretap: archive.keep}
    name: keep-a-copy
  - throttle: {messages: 50, per: 1s}
    name: slowly
  - route:
      by: currency
      table: shops
      rows: {EUR: ours}
      among: {ours: orders-out.order, kept: archive.keep}
"""
WHY = {"reason": "wrong prices"}
ACTS = {
    "/flows/steered/pause": {},
    "/flows/steered/detour": {"step": "keep-a-copy", "state": "on"},
    "/flows/steered/throttle": {"step": "slowly", "rate": "5/1m"},
    "/tables/shops/set": {"key": "GBP", "words": "kept"},
}
BACK = {
    "/flows/steered/resume": {},
    "/flows/steered/detour": {"step": "keep-a-copy", "state": "reset"},
    "/flows/steered/throttle": {"step": "slowly", "rate": "reset"},
    "/tables/shops/unset": {"key": "GBP"},
}


@pytest.fixture
def place(place: Path) -> Path:
    """A flow with all that can be set."""
    (place / "flows" / "steered.yaml").write_text(STEERED)
    return place


def set_now(bus) -> dict[tuple[str, str, str], str]:
    """What is set, by kind, name and key."""
    with bus.store.reading() as t:
        return {(one.kind, one.name, one.key): one.value for one in t.switches.all()}


def test_an_operator_sets_what_can_be_set(bus, browser):
    """With a reason; the page says who set what and why, the audit has it, and the same again changes nothing."""
    operator = browser("operator")
    for path, fields in ACTS.items():
        page = operator.post(path, data=fields | WHY, follow_redirects=True)
        assert "within a second" in page.text, path
        assert "already" in operator.post(path, data=fields | WHY, follow_redirects=True).text, path
    assert set_now(bus) == {
        ("detour", "steered", "keep-a-copy"): "on",
        ("flow", "steered", ""): "paused",
        ("table", "shops", "GBP"): "kept",
        ("throttle", "steered", "slowly"): "5/1m",
    }
    shown = browser("viewer").get("/flows/steered").text
    assert "by operator: wrong prices" in shown and "5/1m" in shown and "50/1s" in shown
    assert "paused" in browser("viewer").get("/flows").text and "wrong prices" in browser("viewer").get("/").text
    assert "wrong prices" in browser("viewer").get("/tables/shops").text
    with bus.store.reading() as t:
        assert [(one.who, one.reason) for one in t.audit.find(who="operator")] == [("operator", "wrong prices")] * 4


def test_an_operator_takes_it_back(bus, browser):
    """The configuration holds again; where nobody has set anything the page says so."""
    operator = browser("operator")
    for path, fields in ACTS.items():
        operator.post(path, data=fields | WHY)
    for path, fields in BACK.items():
        assert "within a second" in operator.post(path, data=fields | WHY, follow_redirects=True).text, path
        again = operator.post(path, data=fields | WHY, follow_redirects=True).text
        assert "was not paused" in again or "Nobody had set" in again, path
    assert set_now(bus) == {}


@pytest.mark.parametrize("path", ACTS)
def test_nobody_sets_anything_without_saying_why(bus, browser, path):
    """The reason stands in the audit."""
    assert browser("operator").post(path, data=ACTS[path]).status_code == 400
    assert set_now(bus) == {}


@pytest.mark.parametrize(("path", "fields", "status", "said"), [
    ("/flows/steered/detour", {"step": "keep-a-cop", "state": "on"}, 200, "did you mean"),
    ("/flows/steered/detour", {"step": "keep-a-copy", "state": "perhaps"}, 200, "a detour is on or off"),
    ("/flows/steered/detour", {"state": "on"}, 400, "which step"),
    ("/flows/steered/throttle", {"step": "slowly", "rate": "fast"}, 200, "a rate is such as 10/1s"),
    ("/flows/nothing/pause", {}, 404, "nothing here"),
    ("/tables/shops/set", {"key": "GBP", "words": "mars"}, 200, "means nobody"),
    ("/tables/shops/set", {"key": "GBP"}, 400, "where its messages are to go"),
    ("/tables/nothing/set", {"key": "GBP", "words": "ours"}, 404, "nothing here"),
])  # fmt: skip
def test_what_makes_no_sense_is_not_set(bus, browser, path, fields, status, said):
    """The page says what is wrong; nothing changes."""
    answer = browser("operator").post(path, data=fields | WHY, follow_redirects=True)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert set_now(bus) == {}


def test_a_viewer_sees_what_holds_and_cannot_change_it(bus, browser):
    """The buttons say which role they need."""
    page = browser("viewer").get("/flows/steered").text
    assert "keep-a-copy" in page and "needs the role operator" in page
    assert not any(f'action="{path}"' in page for path in ACTS)
    for path, fields in ACTS.items():
        assert browser("viewer").post(path, data=fields | WHY).status_code == 403


def test_what_the_configuration_no_longer_has_can_be_taken_back(bus, browser):
    """A switch outlives the step that it was for; the page offers nothing else about it."""
    with bus.store.transaction() as t:
        t.switches.set("detour", "steered", {"gone": "on"}, "ada", EVIL)
        t.switches.set("table", "old", {EVIL: "ours"}, "ada", EVIL)
    operator = browser("operator")
    pages = [operator.get(path).text for path in ("/flows/steered", "/tables", "/tables/old")]
    assert "not there any more" in pages[0] and "not in the configuration any more" in pages[1]
    assert "has no effect" in pages[2] and not any(EVIL in page for page in pages)
    form = {"step": "gone", "state": "reset"}
    assert "within a second" in operator.post("/flows/steered/detour", data=form | WHY, follow_redirects=True).text
    operator.post("/tables/old/unset", data={"key": EVIL} | WHY)
    assert set_now(bus) == {}


def test_rows_are_found_by_their_key(bus, browser):
    """Rows of the configuration and those that were set, side by side."""
    browser("operator").post("/tables/shops/set", data={"key": "GBP", "words": "kept"} | WHY)
    client = browser("viewer")
    whole, some = client.get("/tables/shops").text, client.get("/tables/shops?key=eu").text
    assert "<code>EUR</code>" in whole and "<code>GBP</code>" in whole
    assert "<code>EUR</code>" in some and "<code>GBP</code>" not in some
    assert "No key has that in it" in client.get("/tables/shops?key=zzz").text


def test_a_long_table_comes_in_pages(bus, browser):
    """By key, each row once."""
    with bus.store.transaction() as t:
        t.switches.set("table", "shops", {f"K{n:03}": "ours" for n in range(60)}, "ada", "many")
    first = browser("viewer").get("/tables/shops").text
    second = browser("viewer").get(re.search(r'href="([^"]+)" rel="next"', first)[1]).text
    keys = [re.findall(r"<td[^>]*><code>(\w+)</code>", page) for page in (first, second)]
    assert ([len(page) for page in keys], keys[1][-1], "61 rows in all" in second) == ([50, 11], "K059", True)
