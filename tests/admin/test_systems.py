"""The pages of flows, endpoints, contracts and mappings: what they tell, and what can be done there."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from markupsafe import Markup

from esb.admin.presentation import NONE, labelled
from esb.admin.shape import fields_of
from esb.message import create
from esb.store import Hop, Parked, Status
from esb.worker import trial
from esb.worker.trial import Laboratory

EVIL = "<script>alert(1)</script>"


def names(bus: Any) -> list[str]:
    """Every page of this area, with something on it."""
    d = bus.definition
    pages = ["/flows", "/endpoints", "/contracts", "/mappings", "/tables"]
    for path, table in (
        ("flows", d.flows),
        ("endpoints", d.endpoints),
        ("contracts", d.contracts),
        ("mappings", d.mappings),
    ):
        pages += [f"/{path}/{name}" for name in table]
    return pages


def filled(bus: Any, count: int) -> None:
    """So many messages that passed, some that failed, and a definition before this one."""
    now = time.time()
    hops = []
    for number in range(count):
        at = now - number / count * 800
        message = create(b"{}", id=f"m{number:07}", type="order", source="orders-in", subject=f"A-{number}", time=at)
        common = {
            "message_id": message.id,
            "correlation_id": message.id,
            "type": "order",
            "received_at": at,
            "time": at,
        }
        for place in ("in:orders-in", "flow:orders", "out:orders-out"):
            status = Status.PARKED if number % 100 == 7 and place == "out:orders-out" else Status.COMPLETED
            hops.append(Hop(place=place, status=status, ended_at=at + 0.01, body=b"x" * 200, **common))
    with bus.store.transaction() as t:
        for start in range(0, len(hops), 5000):
            t.tracking.record(hops[start : start + 5000])
        place = "out:orders-out"
        t.parked.add([Parked(message=message, place=place, queue="q", kind="no", error=EVIL, parked_at=now)])
        files = dict(bus.definition.files)
        t.definitions.activate("0" * 32, files | {"flows/orders.yaml": files["flows/orders.yaml"] + "# before\n"})
        t.definitions.activate(bus.definition.hash, files)
        t.claims.begin("orders-in", "k", f"{EVIL}.csv", "c")
        t.claims.finish("orders-in", "k", "done", 7)


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_every_page_shows_whom_it_should(bus, browser, role):
    """Whoever may read reads each of them, empty."""
    client = browser(role)
    for path in names(bus):
        assert client.get(path).status_code == 200, path


def test_pages_are_quick_and_safe_with_a_full_store(bus, browser):
    """With fifty thousand messages, and what came from outside stays text."""
    filled(bus, 17_000)
    client = browser("viewer")
    for path in names(bus):
        page = client.get(path)
        assert page.status_code == 200
        assert EVIL not in page.text, path
    assert "1 version" not in client.get("/flows/orders").text
    assert "before" in client.get("/flows/orders").text
    page = client.get("/endpoints/orders-in").text
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("path", ["/flows/x", "/endpoints/x", "/contracts/x/v1", "/mappings/x"])
def test_what_does_not_exist_is_not_found(browser, path):
    """And the page says so."""
    assert browser("viewer").get(path).status_code == 404


def test_a_flow_shows_its_picture_its_source_and_what_passed(bus, browser):
    """Boxes with their figures, the same as a list, the file with line numbers."""
    filled(bus, 200)
    page = browser("viewer").get("/flows/orders").text
    assert '<svg class="picture"' in page
    assert "row-to-order" in page
    assert 'id="line-1"' in page
    assert "<dd>200</dd>" in page


def test_the_cases_of_a_flow_run_on_the_page(browser):
    """Each with its verdict; a viewer may, for nothing is changed."""
    page = browser("viewer").post("/flows/orders/cases").text
    assert "passed" in page
    assert "orders.test.yaml" in page
    assert "of" in browser("viewer").post("/mappings/row-to-order/cases").text


def test_an_endpoint_is_paused_and_resumed_by_an_operator(bus, browser):
    """With a reason, which stands on the page and in the audit."""
    client = browser("operator")
    assert client.post("/endpoints/archive/pause").status_code == 400
    page = client.post("/endpoints/archive/pause", data={"reason": f"moves {EVIL}"}, follow_redirects=True).text
    assert "Paused" in page and EVIL not in page
    client.post("/endpoints/archive/resume", data={"reason": "moved"})
    client.post("/endpoints/archive/reset", data={"reason": "nothing to reset"})
    with bus.store.reading() as t:
        assert t.pauses.all() == {}
        assert [(e.who, e.act) for e in t.audit.list("endpoint:archive")] == [
            ("operator", "resume"),
            ("operator", "pause"),
        ]


def test_a_viewer_does_nothing_to_an_endpoint(bus, browser):
    """No act is open to it, with or without the token."""
    for act in ("test", "pause", "resume", "reset"):
        assert browser("viewer").post(f"/endpoints/archive/{act}", data={"reason": "x"}).status_code == 403
    with bus.store.reading() as t:
        assert (t.pauses.all(), t.probes.all()) == ({}, {})


def test_a_connection_is_tested_and_the_answer_is_shown(bus, browser):
    """At once, on the page, and where health is kept."""
    page = browser("operator").post("/endpoints/archive/test", follow_redirects=True).text
    assert "archive answered" in page
    with bus.store.reading() as t:
        assert t.probes.all()["archive"].ok


def test_a_document_is_checked_against_a_contract(browser):
    """One that meets it, one that does not with each violation, and one that is no JSON."""
    client = browser("viewer")
    page = client.post("/contracts/order/v1", data={"document": "{}"}).text
    assert "is a required property" in page
    good = {"orderId": "O-1", "customer": {"name": "Ada"}, "total": 1, "currency": "EUR"}
    good = json.dumps(good | {"item": {"sku": "x", "quantity": 1, "price": 1}})
    assert ">passed<" in client.post("/contracts/order/v1", data={"document": good}).text
    assert "decode" in client.post("/contracts/order/v1", data={"document": "{"}).text


def test_a_mapping_is_tried_on_a_document(bus, browser):
    """The result, or where it failed."""
    client = browser("viewer")
    page = client.post("/mappings/row-to-order", data={"document": "{}"}).text
    assert "is a required property" in page and "limit" not in page.partition('class="failure"')[2][:200]
    mapping = bus.definition.mappings["row-to-order"]
    row = dict.fromkeys(bus.definition.contracts[mapping.source]["properties"], "1")
    laboratory = Laboratory()
    assert laboratory.mapping(bus.definition, "row-to-order", json.dumps(row).encode()).kind in (
        "",
        "contract",
        "mapping",
    )
    assert EVIL not in client.post("/mappings/row-to-order", data={"document": f'{{"order": "{EVIL}"}}'}).text


def test_what_a_message_carried_is_tried_again(bus, browser):
    """Its stored body is put into the pane; without one the page says so."""
    hop = Hop(message_id="m1", place="flow:orders", status=Status.COMPLETED, correlation_id="m1", type="order.row",
              body=b'{"number": "x-7"}')  # fmt: skip
    with bus.store.transaction() as t:
        t.tracking.record([hop])
    client = browser("viewer")
    assert "x-7" in client.get("/mappings/row-to-order?message=m1").text
    assert "No body of a message m2" in client.get("/mappings/row-to-order?message=m2").text


def test_a_trial_that_takes_too_long_is_ended():
    """It costs a process and a few seconds, never the pages."""
    job = trial.Job(document=b"{}", mapping={"name": "m", "set": {"a": "$sum([1..9999999])"}, "lines": []})
    slow = trial._started(trial.msgspec.msgpack.encode(job), 0.001)
    assert (slow.ok, slow.kind) == (False, "limit")


def test_trials_wait_for_their_turn(bus):
    """However many are started, only so many run; who waits in vain is told."""
    laboratory = Laboratory(seconds=0.01, turns=0)
    assert laboratory.contract(bus.definition, "order/v1", b"{}").kind == "busy"


def test_a_trial_that_takes_all_memory_is_ended():
    """The limit is the operating system's."""
    job = trial.Job(document=b"{}", mapping={"name": "m", "set": {"a": '$length($pad("", 900000000))'}, "lines": []})
    assert not trial._started(trial.msgspec.msgpack.encode(job), 20).ok


def test_a_contract_is_a_tree_of_fields():
    """Nested objects, elements of lists, references in and out, rules in words, masked fields."""
    schema = {
        "properties": {
            "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
            "buyer": {"$ref": "person/v1", "description": "who pays"},
            "me": {"$ref": "#"},
        },
        "required": ["lines"],
        "$defs": {"line": {"type": "object", "properties": {"sku": {"type": "string", "minLength": 1}}}},
    }
    found = {(field.depth, field.name): field for field in fields_of(schema, ("lines[].sku",))}
    assert found[0, "lines"].required and found[0, "lines"].type == "list of object"
    assert found[1, "sku"].rules == "1 or more characters"
    assert found[1, "sku"].masked
    assert (found[0, "buyer"].ref, found[0, "buyer"].text) == ("person/v1", "who pays")


def test_cells_of_tables_know_their_heads():
    """For windows too narrow for columns, heads of rows among them; what is empty takes no room there."""
    cells = f'<th scope="row">ada</th><td class="x">\n </td><td><span class="none">{NONE}</span></td><td>3</td>'
    rows = Markup(f"<tr>{cells}</tr>")
    found = labelled(rows * 2, ["Name", ("A & B", "number"), "C"])
    assert found.count('<th scope="row" data-label="Name">ada</th>') == 2
    assert (
        found.count('<td class="x" data-label="A &amp; B" data-blank>')
        == found.count('data-label="C" data-blank>')
        == 2
    )
    assert found.count('<td data-label="">3</td>') == 2


def test_where_there_are_no_tables_the_page_says_what_they_are(browser):
    """And how a step goes by one."""
    page = browser("viewer").get("/tables").text
    assert "No routing tables" in page and "among:" in page
