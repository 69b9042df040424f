"""What comes through the inbound queues: sent by hand, or sent on again by a person."""

from __future__ import annotations

import msgspec
import pytest

from esb.broker.port import Queue, Topology, flow_queue, inbound_queue
from esb.message import Message
from esb.store import Status
from esb.worker import hold
from tests.worker.rig import Point, Rig, dies, drive, inbound_worker, order, put

IN = "in:source"
QUEUE, FLOW = inbound_queue("source"), flow_queue("main")


def raw(number: int, body: bytes, content_type: str = "application/x-ndjson") -> Message:
    return msgspec.structs.replace(order(number), body=body, content_type=content_type)


def status(rig: Rig, id: str) -> int:
    hop = rig.hop(id, IN)
    return hop.status if hop else 0


def grouped(rig: Rig) -> None:
    rig.write(
        "endpoints/source.yaml",
        """\
        endpoint: source
        adapter: scripted
        format: {json: {records: lines}}
        records: {group_by: key, lines: items, head: [key]}
        receive: {contract: ticket/v1}
        """,
    )
    rig.write(
        "contracts/ticket/v1.json",
        """{"type": "object", "required": ["till"], "properties": {"till": {}, "key": {}, "items": {}},
        "x-subject": "key"}""",
    )
    rig.write("flows/main.yaml", "flow: main\nfrom: source\nsteps: [{publish: ticket/v1}]\n")


def test_what_is_sent_by_hand_enters_like_anything_else(rig: Rig) -> None:
    """Read by the endpoint's format, checked, tracked; several records are several messages."""
    bus = rig.bus()
    put(bus, QUEUE, raw(1, b'{"number": 1, "key": "a"}\n{"number": 2, "key": "b"}\n'))
    drive(inbound_worker(bus), lambda: rig.left(QUEUE) == 0 and rig.depth(FLOW) == 2, "both entered")
    assert rig.ledger().accepted == 2


@pytest.mark.parametrize("point", ["in: published", "in: tracked"])
def test_a_death_repeats_under_the_same_ids(rig: Rig, point: str) -> None:
    """Published or tracked and not settled: it enters once in the ledger."""
    put(rig.bus(), QUEUE, raw(1, b'{"number": 1}\n{"number": 2}\n'))
    dies(inbound_worker(rig.bus(Point(point))))
    bus = rig.bus()
    drive(inbound_worker(bus), lambda: rig.left(QUEUE) == 0 and status(rig, "order-1"), "entered")
    assert rig.ledger().accepted == 2


def test_what_is_no_json_although_it_says_so_is_parked(rig: Rig) -> None:
    """Nobody else has to wait for it."""
    rig.write("contracts/order/v1.json", "{}")
    rig.write(
        "endpoints/source.yaml",
        "endpoint: source\nadapter: scripted\nformat: {csv: {}}\nreceive: {contract: order/v1}\n",
    )
    bus = rig.bus()
    put(bus, QUEUE, raw(1, b"{nonsense", "application/json"), raw(2, b'{"number": 2}', "application/json"))
    drive(inbound_worker(bus), lambda: rig.left(QUEUE) == 0 and status(rig, "order-2"), "both are seen to")
    assert (status(rig, "order-1"), status(rig, "order-2")) == (Status.PARKED, Status.ACCEPTED)
    assert [row.kind for row in rig.parked()] == ["decode"]


def test_a_group_that_was_parked_is_not_grouped_again(rig: Rig) -> None:
    """What a person mends and sends on is the document, not the records that it was made of."""
    grouped(rig)
    bus = rig.bus()
    worker = inbound_worker(bus)
    put(bus, QUEUE, raw(1, b'{"key": "7", "n": 1}\n{"key": "7", "n": 2}\n'))
    drive(worker, rig.parked, "it is parked: no till")
    (row,) = rig.parked()
    assert row.message.subject == "7"
    mended = msgspec.structs.replace(
        row.message, body=msgspec.json.encode({**msgspec.json.decode(row.message.body), "till": 3})
    )
    with bus.store.transaction() as t:
        t.parked.add([msgspec.structs.replace(row, message=mended)])
    rig.retry()
    drive(worker, lambda: status(rig, "order-1") == Status.ACCEPTED, "it entered")
    assert rig.parked_state(row) == "resolved"
    consumer = bus.broker.consumer((FLOW,), 10)
    (delivery,) = consumer.take(10, 1)
    assert len(msgspec.json.decode(delivery.message.body)["items"]) == 2


def test_bytes_that_were_parked_unread_are_read_again(rig: Rig) -> None:
    """Once somebody mended them."""
    bus = rig.bus()
    worker = inbound_worker(bus)
    put(bus, QUEUE, raw(1, b"{broken\n"))
    drive(worker, rig.parked, "it is parked")
    (row,) = rig.parked()
    mended = msgspec.structs.replace(row.message, body=b'{"number": 1}\n')
    with bus.store.transaction() as t:
        t.parked.add([msgspec.structs.replace(row, message=mended)])
    rig.retry()
    drive(worker, lambda: status(rig, "order-1") == Status.ACCEPTED, "it entered")
    assert rig.parked_state(row) == "resolved"


def test_a_full_flow_queue_holds_back_and_parks_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit waits and comes again."""
    monkeypatch.setattr(hold, "FULL", 0.05)
    bus = rig.bus(prepare=False)
    bus.broker.declare(Topology((Queue(FLOW, limit=1),)))
    bus.prepare()
    worker = inbound_worker(bus)
    put(bus, QUEUE, raw(1, b'{"number": 1}\n'), raw(2, b'{"number": 2}\n'))
    drive(worker, lambda: (status(rig, "order-1"), status(rig, "order-2")) == (30, 10), "one waits")
    bus.broker.purge(FLOW)
    drive(worker, lambda: status(rig, "order-2") == Status.ACCEPTED, "it entered")
    assert rig.parked() == []


def test_a_flow_without_a_queue_parks_what_is_for_it(rig: Rig) -> None:
    """A returned command is a failure; sent on again when the queue is there, it enters."""
    bus = rig.bus(prepare=False)
    bus.store.migrate()
    bus.broker.declare(Topology((Queue(QUEUE),)))
    worker = inbound_worker(bus)
    put(bus, QUEUE, raw(1, b'{"number": 1}\n'))
    drive(worker, rig.parked, "it is parked")
    assert rig.parked()[0].kind == "routing"
    bus.prepare()
    rig.retry()
    drive(worker, lambda: status(rig, "order-1") == Status.ACCEPTED, "it entered")


def test_what_kills_again_and_again_is_parked(rig: Rig) -> None:
    """At the way in as anywhere."""
    put(rig.bus(), QUEUE, raw(1, b'{"number": 1}\n'))
    for _ in range(5):
        dies(inbound_worker(rig.bus(Point("in: published"))))
    drive(inbound_worker(rig.bus()), rig.parked, "it is parked")
    assert [row.kind for row in rig.parked()] == ["kills the worker"]


@pytest.mark.parametrize(
    "body",
    [b"t\n" + b"1\n" * 10_001, b"a" * 60_000 + b"\n" + b"1\n" * 600],
    ids=["many records", "large documents"],
)
def test_what_would_be_too_much_for_one_request_is_refused(rig: Rig, body: bytes) -> None:
    """All of it enters together, so it lies in memory together; a file does not."""
    rig.write("contracts/order/v1.json", "{}")
    rig.write(
        "endpoints/source.yaml",
        "endpoint: source\nadapter: scripted\nformat: csv\nreceive: {contract: order/v1, poll: 10ms}\n",
    )
    (admitted,) = rig.bus().intakes()["source"].admit_bytes(body, "text/csv", id="order-1", time=1e9)
    assert admitted.message.body == body
    assert "at most 10000 records, which have 32 MB together" in str(admitted.error)


def test_as_much_as_may_be_in_one_request(rig: Rig) -> None:
    """Just the limit passes, each record under an id of its own; so does a large request that does not grow."""
    intake = rig.bus().intakes()["source"]
    admitted = intake.admit_bytes(b'{"number": 1}\n' * 10_000, "application/x-ndjson", id="order-1", time=1e9)
    assert len({one.message.id for one in admitted}) == 10_000
    assert not any(one.error for one in admitted)
    large = b'{"number": 1, "note": "%s"}\n' % (b"x" * 7 * 1024**2) * 6
    assert len(intake.admit_bytes(large, "application/x-ndjson", id="order-1", time=1e9)) == 6
