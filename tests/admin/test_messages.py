"""Messages, journeys and parked messages: found, understood, mended, sent on; what came in stays text."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from pydantic import SecretStr

from bench.seed import seed
from esb.admin.excerpts import excerpts
from esb.broker.port import REPLY, REPLY_TO
from esb.bus import Bus
from esb.message import Message, create
from esb.store import Chosen, Parked, Plan, Status
from esb.worker.flow import FlowWorker
from esb.worker.inbox import InDoubtError
from tests.worker.rig import drive, feed

SCRIPT = "<script>alert('x')</script>"
PLAIN = "&lt;script&gt;"


def row(number: str = "1001", **fields) -> Message:
    """A row of the shop's CSV file, as a message."""
    document = {"number": number, "customer": "Ada Lovelace", "sku": "MUG-1", "quantity": 2, "price": 7.95, **fields}
    return create(
        json.dumps(document).encode(), type="order.row", version=1, source="orders-in", subject=number,
        id=f"row-{number}", headers={"channel": "web"},
    )  # fmt: skip


def through(bus: Bus, *rows: Message) -> None:
    """Rows through the flow."""
    feed(bus, *rows, flow="orders")
    worker = FlowWorker(bus.context)

    def ended() -> bool:
        with bus.store.reading() as t:
            return all(t.tracking.known([row.id], "flow:orders") for row in rows)

    drive(worker, ended, "the flow has them")
    worker.finish()


@pytest.fixture
def stuck(bus: Bus) -> Message:
    """A row that the flow could not map: nobody buys nothing, and the customer's name is a script."""
    bad = row("1002", quantity=1, price=-1, customer=SCRIPT)
    through(bus, bad)
    return bad


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["1001", "1002"]),
        ("q=1001", ["1001"]),
        ("q=100*", ["1001", "1002"]),
        ("q=row-1002", ["1002"]),
        ("status=parked", ["1002"]),
        ("status=completed", ["1001"]),
        ("at=flow:orders", ["1001", "1002"]),
        ("at=out:", []),
        ("type=order.row", ["1001", "1002"]),
        ("last=1h", ["1001", "1002"]),
        ("to=2001-01-01T00:00", []),
        ("from=2001-01-01T00:00&status=nonsense&before=nonsense", ["1001", "1002"]),
    ],
)
def test_messages_are_found(bus, browser, stuck, query, found):
    """By key, id, status, place, type and time, together or alone; what means nothing filters nothing."""
    through(bus, row())
    page = browser("viewer").get(f"/messages?{query}")
    assert page.status_code == 200
    assert [number for number in ("1001", "1002") if f">{number}</a>" in page.text] == found


def test_the_filter_stands_in_the_page(browser, stuck):
    """So that it can be changed, and the address can be sent to somebody."""
    text = browser("viewer").get("/messages?q=1002&status=parked&at=flow:orders").text
    assert 'value="1002"' in text
    assert '<option value="parked" selected>' in text
    assert '<option value="flow:orders" selected>' in text


def test_pages_of_messages_follow_each_other(bus, browser):
    """Each message once, the newest first, until there is no older one."""
    seed(bus.store, 200)
    client, address, ids = browser("viewer"), "/messages?at=in:", []
    while address:
        text = client.get(address).text
        ids += re.findall(r'class="id" href="[^"]*" title="([^"]+)"', text)
        older = re.search(r'href="([^"]+)" rel="next"', text)
        address = unescape(older[1]) if older else ""
    with bus.store.reading() as t:
        known = [hop.message_id for hop in t.tracking.find(place="in:", limit=1000)]
    assert ids == known


def test_an_empty_store_says_what_to_do(browser):
    """And one where nothing matches says something else."""
    client = browser("viewer")
    assert "esb send" in client.get("/messages").text
    assert "No message matches" in client.get("/messages?q=nobody").text
    assert "Nothing is parked" in client.get("/parked").text


def test_a_journey_shows_steps_with_their_documents(bus, browser):
    """Each step by name, what it changed marked, the headers and the document."""
    through(bus, row())
    text = browser("viewer").get("/journey?id=row-1001").text
    for piece in ("map:row-to-order", "send:orders-out.order", "O-1001", "document unchanged", "channel", "added"):
        assert piece in text, piece
    assert re.search(r'class="added" title="added">\s*&#34;orderId&#34;: &#34;O-1001&#34;', text)


def test_a_journey_says_why(bus, browser):
    """What a step went by and read, and what a mapping left out."""
    through(bus, row())
    text = unescape(browser("viewer").get("/journey?id=row-1001").text)
    assert '<code>quantity > 0</code> is <code>true</code> <span class="note">(quantity is 2)</span>' in text


def test_a_journey_says_why_a_way_was_not_taken(place, request):
    """The way taken is marked, the others have their reason."""
    flow = place / "flows" / "orders.yaml"
    ways = "[{when: quantity > 100, do: {set: {note: {const: many}}}}, {otherwise: {set: {note: {const: few}}}}]"
    flow.write_text(flow.read_text().replace("  - map: row-to-order", f"  - choose: {ways}\n  - map: row-to-order"))
    through(request.getfixturevalue("bus"), row())
    text = unescape(request.getfixturevalue("browser")("viewer").get("/journey?id=row-1001").text)
    assert '<code>quantity > 100</code>: it is false <span class="note">(quantity is 2)</span>' in text
    assert '<li class="taken"><span class="sign">→</span> <code>otherwise</code> taken' in text


def test_a_journey_leads_to_its_saga(bus, browser):
    """By the saga's name and the business key."""
    with bus.store.transaction() as t:
        t.tracking.record([bus.context.journal().hop(row(), "saga:checkout", Status.COMPLETED, received_at=1.0)])
    client = browser("viewer")
    link = unescape(re.search(r'href="(/sagas[^"]*)">Saga<', client.get("/journey?id=row-1001").text)[1])
    assert link == "/sagas?name=checkout&key=1001"
    assert client.get(link).status_code == 200


def test_a_journey_of_nobody(browser):
    """Neither page nor file."""
    client = browser("viewer")
    assert client.get("/journey?id=nobody").status_code == 404
    assert client.get("/journey/body?id=nobody&place=flow:orders").status_code == 404


def test_what_came_in_stays_text(bus, browser, stuck):
    """Script in a document, a header, an error, an id: on no page is it a tag."""
    evil = create(SCRIPT.encode(), type=SCRIPT, source=SCRIPT, id=f"{SCRIPT}-id", subject=SCRIPT, headers={"x": SCRIPT})
    through(bus, evil)
    client = browser("admin")
    pages = ["/messages", "/parked", "/parked/group?kind=decode&place=flow:orders", "/journey?id=row-1002"]
    for address in pages:
        text = client.get(address).text
        assert "<script>alert" not in text, address
    for address in ("/journey", "/parked/message"):
        page = client.get(address, query_string={"id": evil.id, "place": "flow:orders"})
        assert (page.status_code, "<script>alert" in page.text, PLAIN in page.text) == (200, False, True), address


def test_a_document_is_a_file_and_never_a_page(bus, browser, stuck):
    """The browser saves it, whatever is in it."""
    answer = browser("viewer").get("/journey/body?id=row-1002&place=flow:orders")
    assert answer.data == stuck.body
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename=1002-floworders.json"


def test_a_failure_shows_the_line_that_failed(bus, browser, stuck):
    """The lines of configuration that the error names, as they were."""
    text = browser("viewer").get("/parked/message?id=row-1002&place=flow:orders").text
    assert re.search(r"flows/orders.yaml:\d+, as it was", text)
    assert 'class="meant"' in text


def test_what_is_parked_stands_in_groups(bus, browser, stuck):
    """By cause and place with counts; a group lists its messages, one page after the other."""
    seed(bus.store, 12_500)
    client = browser("viewer")
    text = client.get("/parked").text
    assert "unreachable: connection refused after … ms" in text
    group = unescape(re.search(r'href="(/parked/group\?kind=refused[^"]*)"', text)[1])
    first = client.get(group).text
    second = client.get(unescape(re.search(r'href="([^"]+)" rel="next"', first)[1])).text
    ids = [re.findall(r'class="id" href="[^"]*" title="([^"]+)"', page) for page in (first, second)]
    assert [len(page) for page in ids] == [50, 3]
    assert not set(ids[0]) & set(ids[1])
    assert "Retry selected" not in first  # a viewer looks


@pytest.mark.parametrize(("act", "status"), [("retry", "retrying"), ("discard", "discarded")])
def test_one_is_acted_on(bus, browser, stuck, act, status):
    """With a reason, which the audit has; without one nothing happens."""
    client, form = browser("operator"), {"act": act, "key": "flow:orders row-1002"}
    assert client.post("/parked/act", data=form).status_code == 400
    answer = client.post("/parked/act", data=form | {"reason": "mended"}, follow_redirects=True)
    assert "1 message" in answer.text
    with bus.store.reading() as t:
        found = t.parked.get("row-1002", "flow:orders")
        assert found.status == status
        assert [(entry.who, entry.act, entry.reason) for entry in t.audit.list("row-1002")] == [
            ("operator", act, "mended")
        ]


def test_a_selection_is_acted_on(bus, browser):
    """Those that are ticked, and no other; nothing ticked is said."""
    through(bus, *(row(str(n), price=-1) for n in (1, 2, 3)))
    client = browser("operator")
    form = {"act": "discard", "reason": "tests", "key": ["flow:orders row-1", "flow:orders row-3"]}
    assert "2 messages discarded" in client.post("/parked/act", data=form, follow_redirects=True).text
    with bus.store.reading() as t:
        assert [waiting.message_id for waiting in t.parked.find(Chosen())] == ["row-2"]
    answer = client.post("/parked/act", data={"act": "retry", "reason": "x"}, follow_redirects=True)
    assert "Nothing is selected" in answer.text


def test_a_group_is_acted_on(bus, browser):
    """What was parked when the page was made, and nothing of another group."""
    seed(bus.store, 2500)
    client = browser("operator")
    group = unescape(re.search(r'href="(/parked/group\?kind=refused[^"]*)"', client.get("/parked").text)[1])
    page = client.get(group).text
    fields = dict(re.findall(r'name="(all|kind|place|error|until)" value="([^"]*)"', page))
    form = {name: unescape(value) for name, value in fields.items()} | {"act": "retry", "reason": "sold again"}
    answer = client.post("/parked/act", data=form, follow_redirects=True)
    with bus.store.reading() as t:
        retried = t.parked.count(Chosen(status="retrying"))
        assert (retried, t.parked.count(Chosen(kind="refused"))) == (t.outbox.count(), 0)
        assert t.parked.count(Chosen()) > 0
    assert f"{retried} messages sent on again" in answer.text


def test_a_group_is_replayed_in_steps(bus, browser, stuck):
    """From the group's page; the replay's page says how far it has come, and what can be done about it now."""
    client = browser("operator")
    form = {"all": "1", "place": "flow:orders", "until": "9e12", "reason": "mended"}
    plan = {"steps": "1, 5", "rate": "2.5", "tolerate": "1"}
    assert "Replay in steps" in client.get("/parked/group?place=flow:orders").text
    answer = client.post("/parked/replays", data=form | plan, follow_redirects=True)
    assert "1 message will be sent on in steps" in answer.text
    assert "steps of 1, 5, at most 2.5 a second, stops at more than 1 new failure" in answer.text
    with bus.store.reading() as t:
        (replay,) = t.replays.list()
        assert (replay.who, replay.plan) == ("operator", Plan((1, 5), 2.5, 1))
    assert f"0 of {replay.total} messages sent on again" in client.get("/parked").text
    for act, state in (("pause", "paused"), ("resume", "running"), ("next", "running"), ("cancel", "cancelled")):
        assert client.post(f"/parked/replays/{replay.id}/{act}", data={}).status_code == 400  # no reason
        answer = client.post(f"/parked/replays/{replay.id}/{act}", data={"reason": "x"}, follow_redirects=True)
        assert f"The replay is {state}" in answer.text
    answer = client.post(f"/parked/replays/{replay.id}/pause", data={"reason": "x"}, follow_redirects=True)
    assert f"the replay {replay.id} is cancelled" in answer.text
    assert browser("viewer").post("/parked/replays", data=form | plan).status_code == 403


@pytest.mark.parametrize("plan", [{"steps": "many"}, {"rate": "fast"}, {"tolerate": "some"}, {"steps": ""}])
def test_a_plan_that_makes_no_sense_is_said(browser, stuck, plan):
    """And nothing is begun."""
    client = browser("operator")
    form = {"key": "flow:orders row-1002", "reason": "mended", "steps": "1", "rate": "", "tolerate": "0"} | plan
    assert client.post("/parked/replays", data=form).status_code == 400
    assert "No replays yet" in client.get("/parked/replays").text


def test_a_large_group_is_worked_off_in_pieces(bus, browser):
    """The page says so, and how far it has come."""
    seed(bus.store, 60)
    with bus.store.transaction() as t:
        (one,) = t.parked.list(kind="refused", limit=1) or [t.parked.list(limit=1)[0]]
        t.parked.add([replace(one, kind="much", message=replace(one.message, id=f"m-{n}")) for n in range(501)])
    client = browser("operator")
    form = {"act": "retry", "all": "1", "kind": "much", "until": str(bus.context.clock()), "reason": "mended"}
    text = client.post("/parked/act", data=form, follow_redirects=True).text
    assert "501 messages will be sent on, a portion at a time." in text
    assert "0 of 501 messages sent on again</a>, for operator: mended." in text


def test_a_document_is_edited(bus, browser, stuck):
    """What breaks the contract is refused and keeps the draft; what meets it is kept, parked still."""
    client = browser("operator")
    form = {"key": "flow:orders row-1002", "reason": "a typing error"}
    refused = client.post("/parked/edit", data=form | {"body": '{"number": 7}'})
    assert (refused.status_code, "breaks contract order.row/v1" in refused.text) == (422, True)
    assert "{&#34;number&#34;: 7}" in refused.text
    good = json.dumps({"number": "1002", "customer": "Ada", "sku": "MUG-1", "quantity": 1, "price": 1})
    assert "Changed." in client.post("/parked/edit", data=form | {"body": good}, follow_redirects=True).text
    with bus.store.reading() as t:
        found = t.parked.get("row-1002", "flow:orders")
        assert (found.status, json.loads(found.message.body)) == ("parked", json.loads(good))
    text = client.get("/parked/message?id=row-1002&place=flow:orders").text
    assert "a typing error" in text


@pytest.fixture
def doubtful(bus: Bus) -> tuple[str, str]:
    """A command of which nobody knows whether it took place, and whose answer somebody waits for."""
    message = create(b"{}", type="order", version=1, source="x", id="asked", subject="O-7")
    parked = bus.context.journal().parked(
        message, "out:archive", "esb.endpoint.archive", InDoubtError("?"), 1.0, operation="keep",
        properties={REPLY_TO: "esb.flow.orders", "operation": "keep"},
    )  # fmt: skip
    with bus.store.transaction() as t:
        t.parked.add([parked])
    return parked.key


@pytest.mark.parametrize(
    ("form", "said", "answer"),
    [
        ({"outcome": "done", "reply": '{"ok": true}'}, "Settled as done", "done"),
        ({"outcome": "failed"}, "Settled as failed", "failed"),
        ({"outcome": "done", "reply": "{"}, "Not settled: ", None),
    ],
)
def test_what_is_in_doubt_is_settled(bus, browser, doubtful, form, said, answer):
    """A person says how it ended, and whoever asked is answered; what cannot be an answer is refused."""
    client = browser("operator")
    assert "It took place" in client.get("/parked/message?id=asked&place=out:archive").text
    given = form | {"key": "out:archive asked", "reason": "looked there"}
    assert said in client.post("/parked/settle", data=given, follow_redirects=True).text
    with bus.store.transaction() as t:
        assert [one.properties[REPLY] for one in t.outbox.take(9, "a")] == ([answer] if answer else [])
        assert (t.parked.get(*doubtful).status == "parked") == (answer is None)


def test_a_test_case_is_offered(browser, stuck):
    """As a file for the flow's directory."""
    answer = browser("viewer").get("/parked/case?id=row-1002&place=flow:orders")
    assert answer.headers["Content-Disposition"] == "attachment; filename=orders.test.yaml"
    assert "goes through" in answer.text


@pytest.mark.parametrize(
    ("body", "at", "why"),
    [
        (b"***", "in:orders-in", "cannot be read, and something in it is hidden"),
        (b"{}", "flow:gone", "the flow gone is not in the configuration any more"),
        (b"{}", "out:archive", "is not in the journey any more"),
    ],
)
def test_a_page_says_why_there_is_no_test_case(bus, browser, body, at, why):
    """Instead of a button that downloads nothing."""
    message = create(body, type="orders-in", source="orders-in", id="odd", content_type="text/csv")
    parked = Parked(message=message, place=at, queue="q", kind="decode", error="line 1", parked_at=1.0)
    with bus.store.transaction() as t:
        t.parked.add([parked])
    client = browser("viewer")
    page = client.get(f"/parked/message?id=odd&place={at}").text
    assert "It cannot be kept as a test case: " in page and why in page and "/parked/case" not in page
    assert client.get(f"/parked/case?id=odd&place={at}").status_code == 400


def test_a_document_that_is_too_deep_to_indent_is_shown_as_it_came(bus, browser):
    """Parked for its depth, and then looked at."""
    message = create(b"[" * 5000, type="orders-in", source="orders-in", id="deep", content_type="application/json")
    through(bus, message)
    client = browser("operator")
    for address in ("/parked/message", "/journey"):
        page = client.get(address, query_string={"id": message.id, "place": "flow:orders"})
        assert (page.status_code, "[" * 5000 in page.text) == (200, True), address


@pytest.mark.parametrize(("line", "shown"), [("2", [1, 2, 3]), ("9" * 5000, []), ("2" * 8, []), ("0", [])])
def test_only_a_line_that_there_can_be_is_looked_up(line, shown):
    """A message may have the error say any number."""
    found = excerpts(f'no row for "flows/a.yaml:{line}"', {"flows/a.yaml": "flow: a\nfrom: b\nsteps: []"})
    assert [number for one in found for number, _ in one.lines] == shown


def test_an_error_has_no_other_files_shown_than_those_that_tell_what_the_bus_does():
    """A message may have it name any; what is known as a secret is hidden in the others, too."""
    files = dict.fromkeys(["esb.yaml", "esb.prod.yaml", "endpoints/a.yaml", "lookups/a.csv"], "token: hunter2-long")
    files |= {"flows/a.yaml": "flow: hunter2-long", "contracts/a/v1.json": "{}", "mappings/a.yaml": "mapping: a"}
    for file in files:
        found = excerpts(f'no row for "{file}:1"', files, [SecretStr("hunter2-long")])
        assert [one.file for one in found] == ([file] if file.startswith(("flows", "contracts", "mappings")) else [])
        assert "hunter2" not in str(found)


@pytest.fixture
def confided(place: Path) -> str:
    """What stands in the first line of esb.yaml; made before the bus is loaded."""
    (place / "esb.yaml").write_text("# a-line-of-its-own\n" + (place / "esb.yaml").read_text())
    return "a-line-of-its-own"


def test_a_message_that_has_the_error_name_a_line_of_the_configuration_sees_nothing_of_it(confided, bus, browser):
    """On neither page."""
    with bus.store.transaction() as t:
        t.definitions.activate(bus.definition.hash, bus.definition.files)
    through(bus, bad := row("1003", quantity="esb.yaml:1"))
    client = browser("viewer")
    for address in ("/parked/message", "/journey"):
        page = client.get(address, query_string={"id": bad.id, "place": "flow:orders"})
        assert (page.status_code, "esb.yaml:1" in page.text, confided in page.text) == (200, True, False), address


@pytest.fixture
def no_names(place: Path):
    """The bus hides who ordered; made before it is loaded."""
    contract = place / "contracts/order.row/v1.json"
    contract.write_text(json.dumps({**json.loads(contract.read_text()), "x-mask": ["customer"]}))


def test_masked_fields_are_on_no_page(no_names, browser, bus):
    """Not in the list, the journey, its steps, the file, the parked message, its case or its editor."""
    through(bus, row("1", customer="Grace Hopper"), row("2", customer="Grace Hopper", price=-1))
    client = browser("admin")
    addresses = ["/messages", "/parked", "/journey?id=row-1", "/journey?id=row-2", "/parked/group?kind=contract"]
    addresses += [f"/{one}?id=row-2&place=flow:orders" for one in ("journey/body", "parked/message", "parked/case")]
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, "Grace" in answer.text) == (200, False), address


def queries(bus: Bus) -> list[str]:
    """The statements that reach the database from now on, with their values."""
    found: list[str] = []
    sa.event.listen(bus.store.engine, "checkout", lambda driver, *_: driver.set_trace_callback(found.append))
    return found


@pytest.mark.parametrize(
    ("address", "most"),
    [
        ("/messages", 1), ("/messages?q=SO-4105", 2), ("/messages?q=nobody", 5), ("/messages?status=parked", 1),
        ("/parked", 1), ("/parked/group?kind=refused&place=out:warehouse", 2),
    ],
)  # fmt: skip
def test_pages_ask_little_and_read_no_documents(bus, browser, address, most):
    """A handful of statements whatever there is, none over a whole table without an index, none with a body."""
    seed(bus.store, 2000)
    client = browser("viewer")
    client.get(address)
    said = queries(bus)
    assert client.get(address).status_code == 200
    ours = [text for text in said if re.search(r"FROM (hops|parked)\b", text)]
    assert 0 < len(ours) <= most
    with bus.store.engine.connect() as connection:
        for text in ours:
            assert not re.search(r"\b(body|steps|parked\.message|sealed)\b", text), text
            plan = [line[3] for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
            assert [line for line in plan if line.startswith("SCAN") and "INDEX" not in line] == [], plan


def test_a_large_journey_is_cut(bus, browser):
    """A split of thousands does not make a page of thousands."""
    root = row()
    children = [
        bus.context.journal().hop(
            create(b"{}", type="order", source="x", id=f"child-{n}", correlation_id=root.id, causation_id=root.id),
            "out:orders-out", Status.COMPLETED, received_at=2.0 + n,
        )
        for n in range(600)
    ]  # fmt: skip
    with bus.store.transaction() as t:
        t.tracking.record(
            [bus.context.journal().hop(root, "in:orders-in", Status.ACCEPTED, received_at=1.0), *children]
        )
    text = browser("viewer").get("/journey?id=row-1001").text
    assert "the first 500 places" in text
    assert text.count('<li class="depth-1 hop') == 499
