"""Order: messages of one key go one after the other on all their way, whatever becomes of each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence

import pytest

from esb.broker.port import flow_queue, line_queues
from esb.bus import Bus
from esb.errors import BrokerDown, Busy, Refused
from esb.ports import Reply, Request
from esb.store import Status
from esb.worker import hold, lines, ordered
from esb.worker.ordered import OrderedWorker
from esb.worker.purge import Channel, Reason, purge
from esb.worker.thread import Worker
from tests.worker.rig import FILES, ORDER, Point, Rig, dies, drive, endpoint_worker, order, put, sweep

QUEUE = flow_queue("main", ordered=True)
MAIN = """\
    flow: main
    from: source
    ordering: customer
    steps:
      - filter: number >= 0
      - send: target.put
    """
CALLING = """\
    flow: main
    from: source
    ordering: {by: customer}
    steps:
      - choose:
          - {when: ask = true, do: [{call: {to: asked.put, as: answer}}]}
          - {otherwise: []}
      - send: target.put
    """
ASKED = "{endpoint: asked, adapter: scripted, operations: {put: {effect: keyed}}}"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are looked at in each round."""
    monkeypatch.setattr(lines, "LOOK", 0.0)
    monkeypatch.setattr(lines, "HOLD", 0.0)
    monkeypatch.setattr(hold, "FULL", 0.05)
    monkeypatch.setattr(ordered, "FULL", 0.05)
    monkeypatch.setattr(ordered, "TAKE", 0.02)


@pytest.fixture
def rig(embedded_rig: Rig) -> Rig:
    return in_order(embedded_rig)


def in_order(rig: Rig) -> Rig:
    """One flow in order of its customers."""
    contract = ORDER | {"properties": ORDER["properties"] | {"customer": {}, "ask": {"type": "boolean"}}}
    rig.write("contracts/order/v1.json", json.dumps(contract))
    rig.write("flows/main.yaml", MAIN)
    return rig


class Meanwhile:
    """The first time a worker comes by a point, others are at work before it goes on."""

    def __init__(self, point: str, work: Callable[[], None]) -> None:
        self.done = False
        self._point, self._work = point, work

    def __call__(self, name: str) -> None:
        if name == self._point and not self.done:
            self.done = True
            self._work()


def feed(bus: Bus, *pairs: tuple[int, str], **more: object) -> None:
    """Orders with a number, of a customer."""
    put(bus, QUEUE, *(order(number, customer=customer, **more) for number, customer in pairs))


def both(bus: Bus) -> Worker:
    """A round of the flow, and one of each endpoint."""
    endpoints = [endpoint_worker(bus, name) for name, e in bus.definition.endpoints.items() if e.operations]
    return together(OrderedWorker(bus.context), *endpoints)


def together(*workers: Worker) -> Worker:
    """A round of each."""

    class Together:
        def cycle(self) -> None:
            for worker in workers:
                drive(worker, _once(), "a round")

    return Together()  # type: ignore[return-value]


def _once() -> Callable[[], bool]:
    rounds = iter((False, True))
    return lambda: next(rounds)


def numbers(rig: Rig, customer: str) -> list[int]:
    """Of one customer's orders, as the target got them."""
    return [r.document["number"] for r in list(rig.outside("target").sent) if r.document["customer"] == customer]


def held(rig: Rig) -> int:
    """How many wait for another."""
    with rig.last.store.reading() as t:
        return sum(line.behind for line in t.held.lines())


def lines_of(rig: Rig) -> int:
    """How many keys stand still."""
    with rig.last.store.reading() as t:
        return len(t.held.lines())


def failing(number: int, error: Exception, times: int = 10**6) -> Callable[[Request], Reply | None]:
    """The target fails for one order, so many times."""
    left = [times]

    def script(request: Request) -> None:
        if request.document["number"] == number and left[0] > 0:
            left[0] -= 1
            raise error

    return script


def test_messages_of_a_key_arrive_in_order_however_many_go_at_once(rig: Rig) -> None:
    """Four at a time, and the first of each customer takes longest."""
    bus = rig.bus()
    feed(bus, *((n, f"c{n % 5}") for n in range(100)))
    drive(both(bus), lambda: len(rig.outside("target").sent) == 100, "all are sent")
    for n in range(5):
        assert numbers(rig, f"c{n}") == list(range(n, 100, 5))
    assert held(rig) == 0


def test_a_retry_holds_up_its_key_and_no_other(rig: Rig) -> None:
    """Two delays of one order: those behind it wait, another customer's pass."""
    bus = rig.bus()
    rig.outside("target").script = failing(1, Busy("not now"), times=2)
    feed(bus, (1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b"))
    together = both(bus)
    drive(together, lambda: numbers(rig, "b") == [3, 5], "the other customer's are through")
    drive(together, lambda: numbers(rig, "a") == [1, 2, 4], "in order, behind the retries")
    drive(together, lambda: held(rig) == 0 and rig.ledger().retrying == 0, "nothing is left")
    assert rig.parked() == []


def test_a_parked_message_holds_up_its_key_until_a_person_has_decided(rig: Rig) -> None:
    """Retried it goes first; the others follow in their order."""
    bus = rig.bus()
    rig.outside("target").script = failing(1, Refused("no such customer"), times=1)
    feed(bus, (1, "a"), (2, "a"), (3, "a"), (4, "b"))
    together = both(bus)
    drive(together, lambda: rig.parked() and held(rig) == 2 and numbers(rig, "b") == [4], "it stands")
    feed(bus, (5, "a"))
    drive(together, lambda: held(rig) == 3, "who comes later goes to the end")
    assert numbers(rig, "a") == []
    rig.retry()
    drive(together, lambda: numbers(rig, "a") == [1, 2, 3, 5], "all in order")


def test_a_discarded_message_lets_the_others_pass(rig: Rig) -> None:
    """Given up in the flow, where its expression failed."""
    bus = rig.bus()
    put(bus, QUEUE, order(1, customer="a", items="none"))
    feed(bus, (2, "a"), (3, "a"))
    together = both(bus)
    drive(together, lambda: rig.parked() and held(rig) == 2, "it stands")
    assert rig.parked()[0].queue == QUEUE
    with bus.store.transaction() as t:
        t.parked.discard([row.key for row in t.parked.list()], who="operator")
    drive(together, lambda: numbers(rig, "a") == [2, 3], "the others pass")


def test_a_message_that_waits_for_an_answer_holds_up_its_key(rig: Rig) -> None:
    """What came later and asks nobody does not pass it."""
    rig.write("flows/main.yaml", CALLING)
    rig.write("endpoints/asked.yaml", ASKED)
    bus = rig.bus()
    rig.outside("asked").script = failing(1, Busy("not now"), times=1)
    put(bus, QUEUE, order(1, customer="a", ask=True))
    feed(bus, (2, "a"), (3, "b"))
    drive(both(bus), lambda: numbers(rig, "a") == [1, 2] and numbers(rig, "b") == [3], "in order")
    assert held(rig) == 0
    assert rig.ledger().in_progress == 0


def test_a_message_without_a_key_is_parked_and_holds_up_nobody(rig: Rig) -> None:
    """There is no telling what it would have to wait for."""
    bus = rig.bus()
    put(bus, QUEUE, order(1), order(2, customer=["a"]))
    feed(bus, (3, "a"))
    drive(both(bus), lambda: numbers(rig, "a") == [3], "another is through")
    assert sorted(row.message.id for row in rig.parked()) == ["order-1", "order-2"]
    assert "ordered by text or a number" in rig.parked()[0].error


def test_a_message_whose_key_is_too_long_is_parked_and_holds_up_nobody(rig: Rig) -> None:
    """Cut, it would be the key of others, too."""
    bus = rig.bus()
    feed(bus, (1, "x" * 495), (2, "x" * 496), (3, "a"))
    drive(both(bus), lambda: numbers(rig, "a") == [3] and numbers(rig, "x" * 495) == [1], "the others are through")
    (row,) = rig.parked()
    assert row.message.id == "order-2"
    assert "flow main: the key that messages are ordered by has 496 characters here, and 495 are the most" in row.error


def test_a_full_queue_holds_up_its_key_without_a_delay_queue(rig: Rig) -> None:
    """What was refused is tried again from its line; a delay queue would let the next one pass."""
    bus = rig.bus()
    (lane,) = {q for q in line_queues("target") if q.endswith(_lane("main/a"))}
    with bus.broker._database.transaction("make it full") as sql:  # type: ignore[attr-defined]
        sql.execute("UPDATE queue SET capacity = 1 WHERE name = ?", (lane,))
        sql.execute("UPDATE topology SET version = version + 1")
    feed(bus, *((n, "a") for n in range(5)))
    flow = OrderedWorker(bus.context)
    drive(flow, lambda: held(rig) == 3, "one fits, one stops, three wait")
    assert bus.broker.depths([])["delayed"].ready == 0
    flow.finish()
    drive(both(bus), lambda: numbers(rig, "a") == list(range(5)), "in order")


def _lane(key: str) -> str:
    from esb.broker.port import line_queue

    return line_queue("", key)


@pytest.mark.parametrize("point", ["flow: published", "flow: tracked", "flow: settled"])
def test_a_flow_that_dies_keeps_the_order(rig: Rig, point: str) -> None:
    """At each point of its work, with a key that stands."""
    bus = rig.bus()
    put(bus, QUEUE, order(1, customer="a", items="none"))
    feed(bus, *((n, "a") for n in range(2, 6)), (6, "b"))
    first = OrderedWorker(rig.bus(point=Point(point)).context)
    try:
        dies(first, rounds=4)
    except AssertionError:
        first._consumer.close()
    together = both(bus)
    drive(together, lambda: len(rig.parked()) == 1 and held(rig) == 4, "it stands")
    with bus.store.transaction() as t:
        t.parked.discard([row.key for row in t.parked.list()], who="operator")
    drive(together, lambda: numbers(rig, "a") == [2, 3, 4, 5] and numbers(rig, "b") == [6], "in order")


@pytest.mark.parametrize("point", ["flow: published", "flow: tracked", "flow: settled"])
def test_a_death_over_the_first_of_a_line_lets_nobody_pass(rig: Rig, point: str) -> None:
    """Where the store knows that it is through, and the broker has nothing of it yet, too."""
    bus = rig.bus()
    put(bus, QUEUE, order(1, customer="a", items="none"))
    feed(bus, *((n, "a") for n in range(2, 6)))
    flow = OrderedWorker(bus.context)
    drive(flow, lambda: len(rig.parked()) == 1 and held(rig) == 4, "it stands")
    flow._consumer.close()
    with bus.store.transaction() as t:
        t.parked.discard([row.key for row in t.parked.list()], who="operator")
    dies(OrderedWorker(rig.bus(point=Point(point)).context), rounds=20)
    drive(both(bus), lambda: len(numbers(rig, "a")) == 4, "all are there")
    assert numbers(rig, "a") == [2, 3, 4, 5]


@pytest.mark.parametrize("point", ["flow: published", "flow: tracked", "flow: settled"])
def test_a_death_over_an_answer_lets_nobody_pass(rig: Rig, point: str) -> None:
    """What it was about is sent before what waited for it, where the system is busy at first, too."""
    rig.write("flows/main.yaml", CALLING)
    rig.write("endpoints/asked.yaml", ASKED)
    rig.outside("target").script = failing(1, Busy("not now"), times=1)
    bus = rig.bus()
    feed(bus, (1, "a"), ask=True)
    feed(bus, *((n, "a") for n in range(2, 5)))
    flow = OrderedWorker(bus.context)
    drive(flow, lambda: held(rig) == 3, "they wait")
    flow._consumer.close()
    asked = endpoint_worker(bus, "asked")
    drive(asked, lambda: rig.outside("asked").sent, "it is asked")
    drive(asked, _once(), "it is answered")
    asked._consumer.close()
    dies(OrderedWorker(rig.bus(point=Point(point)).context), rounds=20)
    drive(both(bus), lambda: len(numbers(rig, "a")) == 4, "all are there")
    assert numbers(rig, "a") == [1, 2, 3, 4]


def test_nobody_passes_a_message_whose_answer_another_process_is_slow_to_go_on_with(rig: Rig) -> None:
    """The line goes on when the store says so, and then what the answer led to is in its queue."""
    rig.write("flows/main.yaml", CALLING)
    rig.write("endpoints/asked.yaml", ASKED)
    bus = rig.bus()
    feed(bus, (1, "a"), ask=True)
    feed(bus, (2, "a"), (3, "a"))
    serving = OrderedWorker(bus.context)
    drive(serving, lambda: held(rig) == 2, "they wait")
    asked = endpoint_worker(bus, "asked")
    drive(asked, lambda: rig.outside("asked").sent, "it is asked")
    drive(asked, _once(), "it is answered")

    def others() -> None:
        drive(serving, lambda: rig.hop("order-2", "flow:main").status == Status.COMPLETED, "the next one is through")

    meanwhile = Meanwhile("flow: tracked", others)
    answering = OrderedWorker(rig.bus(point=meanwhile).context)
    drive(answering, lambda: meanwhile.done, "another goes on with the answer")
    for worker in (serving, answering):
        worker.finish()
    drive(both(bus), lambda: len(numbers(rig, "a")) == 3, "all are there")
    assert numbers(rig, "a") == [1, 2, 3]


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_no_line_is_left_by_an_answer_that_is_faster_than_the_note_that_it_is_awaited(server_rig: Rig) -> None:
    """On RabbitMQ the question is out before it is written down; another process may be through with its answer."""
    rig = in_order(server_rig)
    rig.write("flows/main.yaml", CALLING)
    rig.write("endpoints/asked.yaml", ASKED)
    bus = rig.bus()
    customers = "abcd"  # the broker gives the answers to both processes in turns

    def through() -> list[str]:
        return [c for n, c in enumerate(customers) if rig.hop(f"order-{n}", "flow:main")]

    def others() -> None:
        asked, second = endpoint_worker(bus, "asked"), OrderedWorker(bus.context)
        drive(together(asked, second), through, "another goes on with some answers")
        for worker in (asked, second):
            worker.finish()

    meanwhile = Meanwhile("flow: published", others)
    feed(bus, *enumerate(customers), ask=True)
    first = OrderedWorker(rig.bus(point=meanwhile).context)
    drive(first, lambda: meanwhile.done, "it asks")
    feed(bus, *enumerate(customers, start=len(customers)))
    drive(first, lambda: rig.depth(QUEUE) == 0, "the others are looked at")
    first.finish()
    drive(both(bus), lambda: len(rig.outside("target").sent) >= 2 * len(customers), "all are there")
    assert [numbers(rig, c) for c in customers] == [[n, n + len(customers)] for n in range(len(customers))]
    drive(both(bus), lambda: lines_of(rig) == 0, "no line is left")


@pytest.mark.parametrize(
    "point", ["endpoint: started", "endpoint: sent", "endpoint: recorded", "endpoint: settled", "line: let go"]
)
def test_an_endpoint_that_dies_keeps_the_order(rig: Rig, point: str) -> None:
    """At each point of its work, while one message is tried again."""
    bus = rig.bus()
    rig.outside("target").script = failing(1, Busy("not now"), times=2)
    feed(bus, *((n, "a") for n in range(1, 6)), (6, "b"))
    flow = OrderedWorker(bus.context)
    drive(flow, lambda: rig.depth(QUEUE) == 0 and rig.hop("order-6", "flow:main"), "all are on their way")
    first = endpoint_worker(rig.bus(point=Point(point, 2)))
    dies(first, rounds=200)
    sweep(bus)
    drive(both(bus), lambda: numbers(rig, "a") == [1, 2, 3, 4, 5] and numbers(rig, "b") == [6], "in order")


def test_what_lay_in_the_queue_before_ordering_was_said_is_taken(rig: Rig) -> None:
    """And the other way round, when it is taken away."""
    bus = rig.bus()
    feed(bus, (1, "a"))
    rig.write("flows/main.yaml", MAIN.replace("    ordering: customer\n", ""))
    plain = rig.bus()
    put(plain, flow_queue("main"), order(2, customer="a"))
    workers = plain.workers()
    assert [w.name for w in workers if "flows" in w.name] == ["flows"]
    drive(
        next(w for w in workers if w.name == "flows"),
        lambda: rig.hop("order-1", "flow:main") and rig.hop("order-2", "flow:main"),
        "both are through",
    )


def test_what_waits_in_line_goes_on_when_ordering_is_taken_away(rig: Rig) -> None:
    """And what it waited for leaves no ghost, behind which all would wait were ordering said again."""
    bus = rig.bus()
    feed(bus, (1, "a"), items="none")
    feed(bus, (2, "a"), (3, "a"))
    drive(OrderedWorker(bus.context), lambda: held(rig) == 2, "one is parked, and two wait")
    rig.write("flows/main.yaml", MAIN.replace("    ordering: customer\n", ""))
    plain = rig.bus()
    flows = next(worker for worker in plain.workers() if worker.name == "flows")
    drive(flows, lambda: lines_of(rig) == 0, "nothing waits in line")
    sweep(plain)
    drive(flows, lambda: rig.hop("order-3", "flow:main").status == Status.COMPLETED, "both go on")
    assert rig.hop("order-2", "flow:main").status == Status.COMPLETED
    assert [row.message.id for row in rig.parked()] == ["order-1"]


def test_lines_left_are_served_behind_an_outage_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the broker is away nobody can tell whether there are some: the worker asks again when it is back."""
    bus = rig.bus()
    feed(bus, (1, "a"))
    drive(OrderedWorker(bus.context), lambda: rig.depth(QUEUE) == 0, "it lies in a line of the endpoint")
    rig.write("flows/main.yaml", MAIN.replace("    ordering: customer\n", ""))
    plain = rig.bus()

    def away(queues: Sequence[str]) -> None:
        raise BrokerDown("it does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(plain.broker, "depths", away)
        worker = endpoint_worker(plain)
    drive(worker, lambda: numbers(rig, "a") == [1], "it is sent")


def test_a_purge_of_an_endpoint_takes_what_waits_in_order_too(rig: Rig) -> None:
    """Its lines are queues of their own; kept and sent on, everything goes back to where it was."""
    bus = rig.bus()
    feed(bus, *((n, f"c{n}") for n in range(20)))
    flow = OrderedWorker(bus.context)
    drive(flow, lambda: sum(d.ready for d in bus.broker.depths(line_queues("target")).values()) == 20, "all wait")
    flow.finish()
    why = Reason("eve", "later", keep=True)
    count = purge(bus.broker, bus.store, bus.context.journal(), Channel.of_endpoint("target"), why, bus.context.clock)
    assert count == len(rig.parked()) == 20
    assert {row.queue for row in rig.parked()} <= set(line_queues("target"))
    rig.retry()
    drive(endpoint_worker(bus, "target"), lambda: len(rig.outside("target").sent) == 20, "all are sent")


def test_a_connection_lost_under_a_long_call_changes_no_order(rig: Rig) -> None:
    """The first of a key is still being sent when it comes again; what is behind it waits until it is through."""
    rig.write("esb.yaml", FILES["esb.yaml"].replace("lease: 3s", "lease: 1s"))
    rig.write("endpoints/target.yaml", FILES["endpoints/target.yaml"].replace("2s", "50ms"))
    bus = rig.bus()
    answer, calls = threading.Event(), []

    def script(request: Request) -> None:
        calls.append(request.document["number"])
        if len(calls) == 1:
            answer.wait(10)
            raise Busy("try again")

    rig.outside("target").script = script
    feed(bus, (1, "a"), (2, "a"))
    drive(OrderedWorker(bus.context), lambda: rig.depth(QUEUE) == 0, "they are sent on")
    worker = endpoint_worker(bus)
    drive(worker, lambda: calls, "the first is under way")
    worker.recover()
    drive(worker, lambda: held(rig) == 1, "what is behind it waits")
    answer.set()
    drive(worker, lambda: len(rig.outside("target").sent) == 2, "both are through")
    assert (numbers(rig, "a"), calls) == ([1, 2], [1, 1, 2])
