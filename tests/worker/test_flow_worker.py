"""The flow worker: each message of a batch settles alone, and what it says in the store is true."""

from __future__ import annotations

import threading

import msgspec
import pytest

from esb.broker.port import Queue, Topology, endpoint_queue, flow_queue
from esb.errors import BrokerDown
from esb.flow import PART
from esb.message import Message
from esb.store import Status
from esb.worker import hold, thread
from tests.worker.rig import (
    Point,
    Rig,
    broken_transfer,
    dies,
    drive,
    endpoint_worker,
    feed,
    flow_worker,
    order,
    store_down,
)

FLOW = "flow:main"
QUEUE = flow_queue("main")
TARGET = endpoint_queue("target")


def status(rig: Rig, id: str) -> int:
    hop = rig.hop(id, FLOW)
    return hop.status if hop else 0


def balanced(rig: Rig) -> bool:
    """No obligation is heard of that was not sent."""
    return rig.ledger().in_flight >= 0


def splitting(rig: Rig) -> None:
    rig.write(
        "flows/main.yaml",
        """\
        flow: main
        from: source
        steps:
          - split:
              each: items
              do: [{filter: "sku != 'skip'"}, {map: {set: {number: $number(sku)}}}, {send: target.put}]
          - send: {to: target.shoot}
        """,
    )


def test_results_are_published_tracked_and_the_input_settled(rig: Rig) -> None:
    """A command for its endpoint, an event that nobody wants, and an empty queue."""
    bus = rig.bus()
    feed(bus, order(1), order(2))
    drive(flow_worker(bus), lambda: rig.left(QUEUE) == 0 and status(rig, "order-2"), "both are through")
    hop = rig.hop("order-1", FLOW)
    assert hop is not None
    assert (hop.status, hop.sent, hop.published) == (Status.COMPLETED, 1, 1)
    assert rig.depth(TARGET) == 2
    assert rig.ledger().events_unsubscribed == 2


def test_a_message_without_a_business_key_is_tracked_and_parked_under_its_contracts(rig: Rig) -> None:
    """A foreign publisher knows nothing of CloudEvents subjects; the order is found all the same."""
    bus = rig.bus()
    foreign = [msgspec.structs.replace(one, subject=None) for one in (order(1), order(2, items="none"))]
    feed(bus, *foreign)
    drive(flow_worker(bus), lambda: status(rig, "order-1") and rig.parked(), "both are through")
    hop = rig.hop("order-1", FLOW)
    assert hop is not None
    assert hop.subject == "no-1"
    assert [row.message.subject for row in rig.parked()] == ["no-2"]


@pytest.mark.parametrize("point", ["flow: published", "flow: tracked", "flow: settled"])
def test_a_death_at_any_point_gives_the_same_messages(rig: Rig, point: str) -> None:
    """Whatever is published again has the id it had: the endpoint sees one effect."""
    feed(rig.bus(), order(1))
    dies(flow_worker(rig.bus(Point(point))))
    bus = rig.bus()
    drive(flow_worker(bus), lambda: rig.left(QUEUE) == 0 and status(rig, "order-1") == 34, "it is through")
    drive(endpoint_worker(bus), lambda: rig.left(TARGET) == 0 and rig.ledger().done == 1, "it is sent")
    assert rig.outside("target").numbers() == [1]
    assert rig.ledger().sent == 1


def test_a_failing_message_is_parked_and_the_others_go_on(rig: Rig) -> None:
    """Its row stands in the same commit as the tracking of all."""
    bus = rig.bus()
    broken = msgspec.structs.replace(order(1), body=b'{"key": "no-1"}')
    feed(bus, broken, order(2))
    drive(flow_worker(bus), lambda: status(rig, "order-2") == Status.COMPLETED, "the other is through")
    (row,) = rig.parked()
    assert (row.kind, row.message.subject, status(rig, "order-1")) == ("contract", "no-1", Status.PARKED)


# --- what the broker says of results ------------------------------------------------------------------------------


def test_a_full_endpoint_queue_holds_back_its_inputs_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait and run again; nothing is parked, and what was published of them counts."""
    monkeypatch.setattr(hold, "FULL", 0.05)
    bus = rig.bus(prepare=False)
    bus.broker.declare(Topology((Queue(TARGET, limit=1),)))
    bus.prepare()
    worker, sender = flow_worker(bus), endpoint_worker(bus)
    feed(bus, *map(order, range(3)))
    drive(worker, lambda: [status(rig, f"order-{n}") for n in range(3)] == [34, 10, 10], "two are held back")
    assert balanced(rig)
    for count in (1, 2, 3):
        drive(sender, lambda: rig.depth(TARGET) == 0, "there is room again")
        drive(worker, lambda n=count: [status(rig, f"order-{i}") for i in range(3)].count(34) >= n, "one more")
    drive(sender, lambda: rig.ledger().done == 3, "all are sent")
    assert rig.parked() == []
    assert rig.ledger().settled


def test_a_command_without_a_queue_parks_its_input(rig: Rig) -> None:
    """The text names the endpoint; only what really is in a queue counts as sent; a retry makes up for it."""
    rig.write("endpoints/other.yaml", "endpoint: other\nadapter: scripted\noperations: {note: {effect: keyed}}\n")
    rig.write("flows/main.yaml", "flow: main\nfrom: source\nsteps:\n  - send: [target.put, other.note]\n")
    bus = rig.bus(prepare=False)
    bus.store.migrate()
    bus.broker.declare(Topology((Queue(QUEUE), Queue(TARGET))))
    feed(bus, order(1))
    worker = flow_worker(bus)
    drive(worker, lambda: status(rig, "order-1") == Status.PARKED, "it is parked")
    (row,) = rig.parked()
    assert (row.kind, "endpoint other" in row.error) == ("routing", True)
    assert rig.ledger().sent == 1
    bus.prepare()
    rig.retry()
    drive(worker, lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    assert rig.parked_state(row) == "resolved"
    assert rig.ledger().sent == 2


def test_an_event_that_nobody_wants_is_unsubscribed(rig: Rig) -> None:
    """A success of its flow, and shown in the journey."""
    bus = rig.bus()
    feed(bus, order(1))
    drive(flow_worker(bus), lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    with bus.store.reading() as t:
        hops = t.tracking.journey("order-1")
    assert [hop.status for hop in hops if hop.place.startswith("event:")] == [Status.UNSUBSCRIBED]


# --- parts --------------------------------------------------------------------------------------------------------


def test_a_failed_part_is_parked_by_itself_and_resumes_in_its_body(rig: Rig) -> None:
    """The others went their way; the retried part runs through the body of its split, and no further."""
    splitting(rig)
    bus = rig.bus()
    worker = flow_worker(bus)
    feed(bus, order(1, items=[{"sku": "7"}, {"sku": "seven"}, {"sku": "skip"}]))
    drive(worker, lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    assert rig.ledger().sent == 2
    (row,) = rig.parked()
    assert (row.properties[PART], row.message.causation_id) == ("split", "order-1")
    mended = msgspec.structs.replace(row, message=_mended(row.message))
    with bus.store.transaction() as t:
        t.parked.add([mended])
    rig.retry()
    drive(worker, lambda: status(rig, row.message.id) == Status.COMPLETED, "the part is through")
    assert rig.parked_state(row) == "resolved"
    assert rig.ledger().sent == 3
    drive(endpoint_worker(bus), lambda: rig.ledger().settled, "all is sent")
    assert sorted(r.operation for r in rig.outside("target").sent) == ["put", "put", "shoot"]


def _mended(message: Message) -> Message:
    return msgspec.structs.replace(message, body=b'{"sku": "8"}')


def test_a_retry_that_fails_again_is_parked_again(rig: Rig) -> None:
    """Until a person mends what is wrong."""
    bus = rig.bus()
    worker = flow_worker(bus)
    feed(bus, msgspec.structs.replace(order(1), body=b"{}"))
    drive(worker, rig.parked, "it is parked")
    for _ in range(2):
        rig.retry()
        assert rig.parked() == []
        drive(worker, rig.parked, "it is parked again")
    assert status(rig, "order-1") == Status.PARKED


# --- poison -------------------------------------------------------------------------------------------------------


def test_what_kills_again_and_again_is_parked_and_its_neighbours_are_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch goes down with one message, twice: then each runs alone, and only the killer is left over."""
    feed(rig.bus(), *map(order, range(5)))
    deaths = 0
    while not rig.parked():
        bus = rig.bus()
        flow = bus.context.flows["main"]
        worker = flow_worker(bus)
        with monkeypatch.context() as patch:
            patch.setattr(flow, "run", _killing(flow.run, "order-2"))
            try:
                for _ in range(10):
                    worker.cycle()
            except Kill:
                deaths += 1
                worker._consumer.close()
    assert deaths == 5  # the first two of them with a whole batch
    assert [(row.message.id, row.kind) for row in rig.parked()] == [("order-2", "kills the worker")]
    assert [status(rig, f"order-{n}") for n in (0, 1, 3, 4)] == [Status.COMPLETED] * 4


def test_what_was_under_way_at_one_death_runs_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an orderly stop: all of it in one batch, marked before and cleared with its tracking."""
    feed(rig.bus(), *map(order, range(5)))
    dies(flow_worker(rig.bus(Point("flow: published"))))
    bus = rig.bus()
    worker = flow_worker(bus)
    begin, batches = worker._consumer.begin, []

    def watched(batch):  # type: ignore[no-untyped-def]
        batches.append(_marks(rig))
        return begin(batch)

    monkeypatch.setattr(worker._consumer, "begin", watched)
    drive(worker, lambda: status(rig, "order-4") == Status.COMPLETED, "all are through")
    assert batches == [1]
    assert _marks(rig) == 0


class Kill(BaseException):
    """The process is gone."""


def _killing(run, id: str):  # type: ignore[no-untyped-def]
    def kill(message: Message, *arguments: object):  # type: ignore[no-untyped-def]
        if message.id == id:
            raise Kill
        return run(message, *arguments)

    return kill


def test_a_broker_that_comes_and_goes_kills_nobody(rig: Rig) -> None:
    """However often a suspect's transfer fails: its mark is taken back, for we live."""
    bus = rig.bus()
    feed(bus, order(1))
    worker = flow_worker(bus)
    for _ in range(8):
        broken_transfer(worker)
        with pytest.raises(BrokerDown):
            while True:
                worker.cycle()
        worker.recover()
    drive(worker, lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    assert rig.parked() == []
    assert _marks(rig) == 0


def test_a_store_that_comes_and_goes_kills_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark is committed, the tracking is not: eight times over."""
    monkeypatch.setattr(thread.commit, "__defaults__", (0.0,))
    bus = rig.bus()
    feed(bus, order(1))
    dies(flow_worker(rig.bus(Point("flow: published"))))
    worker = flow_worker(bus)
    for _ in range(8):
        broken = _fails_at_tracking(worker, bus)
        with pytest.raises(thread.StoreDown), broken:
            while True:
                worker.cycle()
        worker._quietly(worker.recover)
    drive(worker, lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    assert rig.parked() == []
    assert _marks(rig) == 0


def _fails_at_tracking(worker, bus):  # type: ignore[no-untyped-def]
    from contextlib import contextmanager

    @contextmanager
    def broken():  # type: ignore[no-untyped-def]
        real = worker._record

        def record(*arguments):  # type: ignore[no-untyped-def]
            with store_down(bus):
                return real(*arguments)

        worker._record = record
        try:
            yield
        finally:
            worker._record = real

    return broken()


def test_restarts_in_order_kill_nobody(rig: Rig) -> None:
    """A worker that stops while its suspect meets a broken broker takes the mark back, each time."""
    feed(rig.bus(), order(1))
    for _ in range(6):
        worker = flow_worker(rig.bus())
        broken_transfer(worker)
        with pytest.raises(BrokerDown):
            while True:
                worker.cycle()
        worker.finish()
    bus = rig.bus()
    drive(flow_worker(bus), lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    assert rig.parked() == []


@pytest.mark.parametrize("marks", [2, 3])
def test_who_was_under_way_at_two_deaths_or_more_runs_alone_in_its_process(rig: Rig, marks: int) -> None:
    """So an innocent that is slow beside a killer at another place does not get one more mark."""
    bus = rig.bus()
    feed(bus, order(1))
    for _ in range(marks + 1):
        dies(flow_worker(rig.bus(Point("flow: published"))))
    worker = flow_worker(bus)
    neighbour = object()
    assert bus.context.solitude.join(neighbour)
    thread_ = threading.Thread(target=worker.cycle, daemon=True)
    thread_.start()
    thread_.join(0.2)
    assert thread_.is_alive()
    assert _marks(rig) == marks
    bus.context.solitude.leave(neighbour)
    thread_.join(5)
    assert status(rig, "order-1") == Status.COMPLETED
    assert bus.context.solitude.claim(neighbour, 0.0)


def _marks(rig: Rig) -> int:
    with rig.last.store.reading() as t:
        return t.suspects.count(("order-1", FLOW))


def test_a_fault_that_one_message_brings_about_every_time_parks_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch fails with an unexpected error; alone, the innocent pass and the guilty one is set aside."""
    bus = rig.bus()
    worker = flow_worker(bus)
    real = worker._journal.hop

    def hop(message: Message, *arguments, **more):  # type: ignore[no-untyped-def]
        if message.id == "order-1" and len(arguments) > 1 and arguments[1] != Status.PARKED:
            raise ZeroDivisionError("a bug, says the test")
        return real(message, *arguments, **more)

    monkeypatch.setattr(type(worker._journal), "hop", lambda self, *a, **m: hop(*a, **m))
    feed(bus, order(1), order(2))
    drive(
        worker, lambda: rig.parked() and status(rig, "order-2") == Status.COMPLETED, "one is parked, one is through", 60
    )
    assert [(row.message.id, row.kind) for row in rig.parked()] == [("order-1", "internal")]


# --- on servers ---------------------------------------------------------------------------------------------------


def test_on_servers_a_row_that_the_database_refuses_is_split_off(server_rig: Rig) -> None:
    """A NUL in the id and the business key: tracked without it, its neighbours as they are."""
    rig = server_rig
    bus = rig.bus()
    odd = msgspec.structs.replace(order(1), id="odd\0id", subject="s\0t")
    feed(bus, order(2), odd, msgspec.structs.replace(odd, id="bad\0id", body=b"{}"), order(3))
    worker = flow_worker(bus)
    drive(worker, lambda: status(rig, "order-3") and status(rig, "odd\ufffdid"), "all are tracked")
    assert [status(rig, id) for id in ("order-2", "order-3", "odd\ufffdid", "bad\ufffdid")] == [34, 34, 34, 21]
    rig.retry()
    drive(worker, rig.parked, "it is parked again")
    worker.finish()


def test_on_servers_a_death_between_publish_and_tracking(server_rig: Rig) -> None:
    """RabbitMQ has the results, PostgreSQL does not know: repeated under the same ids, one effect."""
    rig = server_rig
    feed(rig.bus(), order(1))
    dies(flow_worker(rig.bus(Point("flow: published"))))
    bus = rig.bus()
    worker, sender = flow_worker(bus), endpoint_worker(bus)
    drive(worker, lambda: status(rig, "order-1") == Status.COMPLETED, "it is through")
    drive(sender, lambda: rig.ledger().done == 1 and rig.left(TARGET) == 0, "it is sent")
    assert rig.outside("target").numbers() == [1]
    assert len(rig.outside("target").calls) == 1
    worker.finish()
    sender.finish()


def test_a_result_that_the_broker_does_not_take_is_parked_and_the_others_go_on(narrow_rig: Rig) -> None:
    """Each try closes the channel, so it must not come again and again."""
    narrow_rig.write("contracts/order/v1.json", '{"type": "object", "properties": {"number": {}, "key": {}}}')
    narrow_rig.write(
        "flows/main.yaml", "flow: main\nfrom: source\nsteps: [{set: {twice: key & key}}, {send: target.put}]\n"
    )
    bus = narrow_rig.bus()
    feed(bus, order(1, key="x" * 60_000), order(2), order(3))
    worker = flow_worker(bus)
    drive(worker, lambda: narrow_rig.parked() and status(narrow_rig, "order-3"), "parked, and the others are through")
    (row,) = narrow_rig.parked()
    assert (row.key, row.kind) == (("order-1", "flow:main"), "message")
    assert "takes 100000 at most" in row.error
    assert [status(narrow_rig, f"order-{n}") for n in (2, 3)] == [Status.COMPLETED] * 2
    assert narrow_rig.left(QUEUE) == 0
    worker.finish()
