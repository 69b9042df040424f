"""Masked fields and secrets on their way through the workers: delivered in full, written down nowhere."""

from __future__ import annotations

import json
import textwrap
from contextlib import contextmanager

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from structlog.testing import capture_logs

from esb import masking
from esb.broker.port import CONTEXT, ERROR, REPLY_TO
from esb.bus import Bus
from esb.cli import main
from esb.cli.trace import plain
from esb.errors import Refused, StoreError
from esb.flow import StepTrace
from esb.message import create
from esb.ports import Record
from esb.store import Status, open_store, tables
from esb.worker.purge import Channel, Reason, purge
from esb.worker.rows import Journal, packed
from tests.worker import rig as rigs
from tests.worker.rig import ORDER, Rig, drive, endpoint_worker, feed, flow_worker, inbound_worker, put, send, sweep

CARD = "4111-1111-1111-1111"
SECRET = "s3cret-of-the-endpoint"
MASKED = {**ORDER, "x-mask": ["card", "$message.headers.token"], "properties": {**ORDER["properties"], "card": {}}}
FAILING = """\
    flow: main
    from: source
    steps:
      - choose: [{when: key = "bad", do: {set: {pad: $error("no")}}}]
      - send: target.put
    """


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A bus whose orders hide a card, and whose store encrypts."""
    rig.write("contracts/order/v1.json", json.dumps(MASKED))
    encrypt(rig, "key-one")
    return rig


def encrypt(rig: Rig, *keys: str) -> None:
    """Write the keys to files, and name them in the configuration."""
    for number, key in enumerate(keys):
        rig.write(f"key-{number}.txt", key)
    names = ", ".join(f'"secret:file:key-{number}.txt"' for number in range(len(keys)))
    rig.write("esb.yaml", f"{textwrap.dedent(rigs.FILES['esb.yaml'])}encryption: {{{{keys: [{names}]}}}}\n")


def an_order(number: int = 1):
    """An order with a card, in the body and in a header."""
    body = json.dumps({"number": number, "key": f"no-{number}", "card": CARD}).encode()
    return create(
        body, type="order", version=1, source="test", id=f"order-{number}", subject=f"no-{number}",
        headers={"token": CARD, "lang": "en"}, time=1e9,
    )  # fmt: skip


def refuse(rig: Rig) -> None:
    """The other side says no, and repeats what it was sent."""

    def script(request):
        raise Refused(f"card {request.document['card']} is blocked, says {request.body.decode()}")

    rig.outside("target").script = script


def stored(bus: Bus) -> bytes:
    """Every byte of every row."""
    found = []
    with bus.store.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(found)


def test_a_masked_field_is_in_no_row_and_arrives_all_the_same(rig: Rig):
    """A flow, an endpoint that refuses and repeats it, a person who sends it on: only the other side sees it."""
    bus = rig.bus()
    refuse(rig)
    feed(bus, an_order())
    drive(flow_worker(bus), lambda: rig.depth("esb.endpoint.target"), "the flow sends it")
    worker = endpoint_worker(bus)
    drive(worker, rig.parked, "it is parked")
    (parked,) = rig.parked()
    assert json.loads(parked.message.body)["card"] == "***"
    assert parked.error.startswith("card *** is blocked")
    assert parked.message.headers["token"] == "***"
    assert CARD.encode() not in stored(bus)

    rig.outside("target").script = lambda request: None
    with bus.store.transaction() as t:
        t.parked.retry([parked.key], who="operator")
    assert CARD.encode() not in stored(bus)  # the outbox has it, sealed
    sweep(bus)
    drive(worker, lambda: rig.outside("target").sent, "it arrives")
    assert [request.document["card"] for request in rig.outside("target").sent] == [CARD]
    worker.finish()
    assert CARD.encode() not in stored(bus)


def test_the_journey_shows_it_covered(rig: Rig):
    """What programs read of a hop is what people see."""
    bus = rig.bus()
    feed(bus, an_order())
    drive(flow_worker(bus), lambda: rig.hop("order-1", "flow:main"), "the flow is through")
    shown = plain(rig.hop("order-1", "flow:main"))
    assert json.loads(shown["body"]) == {"number": 1, "key": "no-1", "card": "***"}
    assert shown["headers"] == {"token": "***", "lang": "en"}
    assert CARD not in str(shown)


def test_a_row_reads_its_message_once(rig: Rig, monkeypatch):
    """However many texts are in it: the business key, the error, the detail, and what each step says."""
    journal, read = rig.bus().context.journal(), []
    decode = masking._decode
    monkeypatch.setattr(masking, "_decode", lambda body: read.append(body) or decode(body))
    steps = packed([StepTrace(f"step-{number}", "send", f"sent {CARD}") for number in range(10)])
    row = journal.hop(an_order(), "flow:main", Status.PARKED, error=f"no {CARD}", detail=CARD, steps=steps)
    assert (row.error, row.detail, CARD.encode() in row.steps) == ("no ***", "***", False)
    assert len(read) == 1


def test_rows_are_made_before_the_store_is_taken(rig: Rig, monkeypatch):
    """Covering a large message takes its time, in which others must be able to write: at the door, in a flow, at an
    endpoint, when it comes through, when it is parked, and when it is taken out of its queue."""
    rig.write("flows/main.yaml", FAILING)
    bus = rig.bus()
    refuse(rig)
    transaction, written, made = bus.store.transaction, [], []

    @contextmanager
    def watched():
        with transaction() as t:
            written.append(t)
            yield t
            written.pop()

    def watch(name):
        def making(*args, **more):
            made.append((name, bool(written)))
            return real(*args, **more)

        real = getattr(Journal, name)
        monkeypatch.setattr(Journal, name, making)

    monkeypatch.setattr(bus.store, "transaction", watched)
    watch("hop")
    watch("parked")
    put(bus, "esb.in.source", an_order(1), msgspec.structs.replace(an_order(2), body=b"{}"))
    drive(inbound_worker(bus), rig.parked, "one came in, the other is parked")
    feed(bus, msgspec.structs.replace(an_order(3), body=b'{"number": 3, "key": "bad"}'))
    drive(flow_worker(bus), lambda: len(rig.parked()) == 2, "one is sent, the other is parked")
    drive(endpoint_worker(bus), lambda: len(rig.parked()) == 3, "it is refused and parked")
    send(bus, an_order(4))
    purge(bus.broker, bus.store, bus.context.journal(), Channel.of_endpoint("target"), Reason("me", "why"), lambda: 1.0)
    assert len([name for name, _ in made if name == "parked"]) == 4
    assert not any(inside for _, inside in made)


def test_no_command_shows_it(rig: Rig):
    """For people and for programs, with bodies and without."""
    bus = rig.bus()
    refuse(rig)
    feed(bus, an_order())
    drive(flow_worker(bus), lambda: rig.depth("esb.endpoint.target"), "the flow sends it")
    drive(endpoint_worker(bus), rig.parked, "it is parked")
    for words in ("messages", "trace no-1 --bodies", "trace no-1 --json", "failed list", "failed show no-1"):
        for more in ([], ["--json"]):
            done = CliRunner().invoke(main, [*words.split(), "-C", str(rig.root), *more])
            assert (done.exit_code, CARD in done.output) == (0, False), words


def test_what_breaks_its_contract_at_the_door_shows_no_value(rig: Rig):
    """The violation names the field, not what is in it."""
    rig.write("contracts/order/v1.json", json.dumps({**MASKED, "additionalProperties": False, "maxProperties": 2}))
    bus = rig.bus()
    put(bus, "esb.in.source", an_order())
    drive(inbound_worker(bus), rig.parked, "it is parked")
    assert "maxProperties" in rig.parked()[0].error or "properties" in rig.parked()[0].error
    assert CARD.encode() not in stored(bus)


def test_what_cannot_be_read_is_hidden_as_a_whole(rig: Rig):
    """Nobody knows where in it the field is; a retry has it in full."""
    bus = rig.bus()
    (admitted,) = [bus.intakes()["source"].admit(Record(1, raw=CARD.encode(), error=f"bad '{CARD}'"), id="x", time=1.0)]
    row = bus.context.journal().parked(admitted.message, "in:source", "esb.in.source", admitted.error, 1.0)
    assert (row.message.body, row.error) == (b"***", "bad ***")
    assert row.original.body == CARD.encode()


def test_an_adapter_with_a_bug_tells_the_log_nothing(rig: Rig):
    """The trace of an unexpected error is covered, too."""
    bus = rig.bus()

    def script(request):
        raise ValueError(f"cannot send {request.document['card']}")

    rig.outside("target").script = script
    send(bus, an_order())
    with capture_logs() as lines:
        drive(endpoint_worker(bus), rig.parked, "it is parked")
    assert "cannot send ***" in str(lines)
    assert CARD not in str(lines)


def test_who_asked_is_not_told_either(rig: Rig):
    """A failure that is answered travels beside another message, which does not know what this one hides."""
    bus = rig.bus()
    refuse(rig)
    send(bus, an_order(), **{REPLY_TO: "esb.flow.main", CONTEXT: "x"})
    drive(endpoint_worker(bus), lambda: rig.depth("esb.flow.main"), "it is answered")
    consumer = bus.broker.consumer(["esb.flow.main"], 10, "caller")
    (answer,) = consumer.take(10, 1.0)
    consumer.close()
    assert answer.properties[ERROR].startswith("card *** is blocked")
    assert CARD not in str(answer.properties)


def test_a_secret_that_the_other_side_repeats_is_redacted(rig: Rig):
    """Messages without masks, too: nothing that is configured as a secret is written down."""
    rig.write("contracts/order/v1.json", json.dumps(ORDER))
    encrypt(rig, SECRET)
    bus = rig.bus()

    def script(request):
        raise Refused(f"not allowed with {SECRET}")

    rig.outside("target").script = script
    send(bus, an_order())
    drive(endpoint_worker(bus), rig.parked, "it is parked")
    assert rig.parked()[0].error == "not allowed with ***"
    assert SECRET.encode() not in stored(bus)


def test_a_key_is_replaced_without_losing_what_is_sealed(rig: Rig):
    """The old one still opens while it is listed; without it a retry says what is missing."""
    refuse(rig)
    bus = rig.bus()
    send(bus, an_order(1), an_order(2))
    drive(endpoint_worker(bus), lambda: len(rig.parked()) == 2, "both are parked")
    keys = [row.key for row in rig.parked()]
    with open_store("embedded", rig.root / "data", ["key-two", "key-one"]).transaction() as t:
        t.parked.retry(keys[:1], who="operator")
    for known, said in (([], "there is no key"), (["key-two"], "not configured")):
        with pytest.raises(StoreError, match=said), open_store("embedded", rig.root / "data", known).transaction() as t:
            t.parked.retry(keys[1:], who="operator")
