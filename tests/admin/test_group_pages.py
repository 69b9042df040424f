"""The pages of groups: what waits for what, and letting it go with a reason."""

from __future__ import annotations

import time

import msgspec
import pytest

from esb.flow.aggregating import Aggregation
from esb.flow.groups import Member
from esb.flow.legs import Continuation
from esb.message import create
from esb.store import GroupRow, MemberRow

EVIL = "<script>alert(1)</script>"


def waiting(bus, id: str = "g1", key: str = "O-1", closed: float | None = None) -> None:
    """A group with one message in the store."""
    now = time.time()
    machine = Aggregation(key=key, expected=2, limit=10, count=1, since=now)
    row = GroupRow(
        id=id, flow="orders", step="aggregate", key=key, kind="aggregate", definition=bus.definition.hash, size=1,
        waits=machine.waits, opened_at=now, changed_at=now, closed_at=closed, reason="complete" if closed else "",
        data=msgspec.msgpack.encode(machine),
    )  # fmt: skip
    message = create(b"", id=f"m-{id}", type="order", source="shop")
    at = Continuation(flow="orders", definition="v", step="aggregate", message=message, document=msgspec.Raw(b"{}"))
    member = MemberRow(
        flow="orders", step="aggregate", member_id=f"m-{id}", group_id=id, position=1, at=now,
        content=msgspec.json.encode(Member(id=f"m-{id}", at=at)),
    )  # fmt: skip
    with bus.store.transaction() as t:
        t.groups.open([row])
        t.groups.join([member])


def test_an_empty_list_says_what_would_be_there(browser):
    """And which steps make it."""
    page = browser("viewer").get("/groups")
    assert (page.status_code, "aggregate, resequence and gather" in page.text) == (200, True)


def test_what_waits_is_listed_and_shown(bus, browser):
    """What for, and the messages with their journeys; a key is a text, whatever stands in it."""
    waiting(bus, key=EVIL)
    listed, shown = browser("viewer").get("/groups").text, browser("viewer").get("/groups/g1").text
    assert "1 of 2 are there" in listed and "/groups/g1" in listed
    assert "/journey?id=m-g1" in shown
    assert EVIL not in listed + shown


@pytest.mark.parametrize(
    ("query", "found"), [("flow=orders", True), ("flow=other", False), ("key=O-1", True), ("key=O-2", False)]
)
def test_groups_are_filtered(bus, browser, query, found):
    """By flow and key; what is asked stands in the address."""
    waiting(bus)
    assert ("/groups/g1" in browser("viewer").get(f"/groups?{query}").text) is found


def test_those_that_have_ended_are_shown_when_asked(bus, browser):
    """With why they ended."""
    waiting(bus, closed=time.time())
    client = browser("viewer")
    assert "/groups/g1" not in client.get("/groups").text
    assert "complete" in client.get("/groups?ended=yes").text
    assert "Release now" not in client.get("/groups/g1").text


def test_an_operator_lets_it_go_with_a_reason(bus, browser):
    """Once; a viewer may not, and nobody without saying why."""
    waiting(bus)
    assert browser("viewer").post("/groups/g1/release", data={"reason": "x"}).status_code == 403
    operator = browser("operator")
    assert operator.post("/groups/g1/release").status_code == 400
    page = operator.post("/groups/g1/release", data={"reason": "the other is lost"}, follow_redirects=True)
    assert "What was there of O-1 goes on." in page.text
    again = operator.post("/groups/g1/release", data={"reason": "again"}, follow_redirects=True)
    assert "no open group" in again.text
    with bus.store.reading() as t:
        entries = [(e.who, e.target, e.reason) for e in t.audit.list() if e.act == "release group"]
        assert entries == [("operator", "g1", "the other is lost")]
        assert t.outbox.count() == 1


def test_a_group_that_is_not_there(browser):
    """Is not found."""
    assert browser("viewer").get("/groups/none").status_code == 404
