"""Request-Reply: a command that says where its answer goes gets one, whatever dies in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from esb.broker.port import ASKED, CONTEXT, DEADLINE, ERROR, ERROR_KIND, ERROR_STEP, REPLY, REPLY_TO, Delivery
from esb.broker.port import endpoint_queue as queue_of
from esb.bus import Bus
from esb.errors import Refused, Unreachable
from esb.message import derive_id
from esb.ports import Reply, Request
from esb.store import Status
from esb.worker.endpoint import EndpointWorker
from tests.worker.rig import Point, Rig, dies, drive, endpoint_worker, order, send, sweep

OUT = "out:target"
HERE = "esb.flow.main"  # nobody takes from it in these tests, so answers stay there
STOCK = {"type": "object", "required": ["stock"], "properties": {"stock": {"type": "integer"}}}


def prepared(rig: Rig) -> Rig:
    rig.write("contracts/stock/v1.json", json.dumps(STOCK))
    rig.write(
        "endpoints/target.yaml",
        """\
        endpoint: target
        adapter: scripted
        timeout: 2s
        operations:
          put: {effect: keyed}
          ask: {effect: keyed, reply: stock/v1}
          tell: {effect: keyed}
          shoot: {effect: unkeyed}
        """,
    )
    rig.outside("target").script = lambda request: answer({"stock": 7})
    return rig


@pytest.fixture
def asking(rig: Rig) -> Rig:
    return prepared(rig)


def answer(document: Any, kind: str = "application/json") -> Reply:
    return Reply(detail="200", body=json.dumps(document).encode(), content_type=kind)


def ask(bus: Bus, number: int = 1, operation: str = "ask", **properties: str) -> None:
    send(bus, order(number), operation=operation, **{REPLY_TO: HERE, CONTEXT: "what I was at", **properties})


def answers(bus: Bus) -> list[Delivery]:
    """What lies in the caller's queue, taken for good."""
    consumer = bus.broker.consumer([HERE], 100, "caller")
    taken = []
    while batch := consumer.take(100, 0.2):
        taken += batch
        consumer.settle(batch)
    consumer.close()
    return taken


def status_is(rig: Rig, status: Status, number: int = 1) -> Callable[[], bool]:
    def holds() -> bool:
        hop = rig.hop(f"order-{number}", OUT)
        return hop is not None and hop.status == status and rig.left(queue_of("target")) == 0

    return holds


def answered(rig: Rig, bus: Bus, status: Status) -> Delivery:
    """The one answer, when the command has ended."""
    drive(endpoint_worker(bus), status_is(rig, status), f"it is {status.label}")
    (delivery,) = answers(bus)
    return delivery


def test_who_asks_is_answered(asking: Rig) -> None:
    """With the other side's document, under the reply contract's type, with what the caller gave along."""
    bus = asking.bus()
    ask(bus)
    reply = answered(asking, bus, Status.COMPLETED)
    assert json.loads(reply.message.body) == {"stock": 7}
    assert (reply.message.type, reply.message.version) == ("stock", 1)
    assert dict(reply.properties) == {REPLY: "done", CONTEXT: "what I was at"}
    assert reply.message.id == derive_id("order-1", 0, OUT, "reply", 0)
    assert (reply.message.causation_id, reply.message.correlation_id) == ("order-1", order(1).correlation_id)


def test_who_does_not_ask_is_not(asking: Rig) -> None:
    """A command without a queue for the answer is done, and nothing is published."""
    bus = asking.bus()
    send(bus, order(1), operation="ask")
    drive(endpoint_worker(bus), status_is(asking, Status.COMPLETED), "done")
    assert answers(bus) == []


def test_an_answer_without_a_contract_takes_its_type_from_the_operation(asking: Rig) -> None:
    """And no content is null."""
    asking.outside("target").script = lambda request: Reply(detail="204")
    bus = asking.bus()
    ask(bus, operation="tell")
    reply = answered(asking, bus, Status.COMPLETED)
    assert (reply.message.type, reply.message.version, reply.message.body) == ("target.tell.reply", 0, b"null")


def test_a_refusal_is_answered_instead_of_parked(asking: Rig) -> None:
    """Who asked decides; the journey and the ledger say that it was answered with a failure."""
    asking.outside("target").script = refuse
    bus = asking.bus()
    ask(bus)
    reply = answered(asking, bus, Status.REJECTED)
    assert reply.properties[REPLY] == "failed"
    assert (reply.properties[ERROR_KIND], reply.properties[ERROR_STEP]) == ("refused", "target.ask")
    assert "sold out" in reply.properties[ERROR]
    assert asking.parked() == []
    assert asking.ledger().rejected == 1


def refuse(request: Request) -> None:
    raise Refused("sold out")


def test_an_exhausted_recovery_is_answered_too(asking: Rig) -> None:
    """The delays are used up first."""

    def script(request: Request) -> None:
        raise Unreachable("nobody there")

    asking.outside("target").script = script
    bus = asking.bus()
    ask(bus)
    assert answered(asking, bus, Status.REJECTED).properties[ERROR_KIND] == "unreachable"
    assert len(asking.outside("target").calls) == 3  # the first, and one for each delay


def test_an_answer_that_breaks_its_contract_is_a_failure_without_a_second_effect(asking: Rig) -> None:
    """Asked again, what was answered is read again; it is not sent again."""
    asking.outside("target").script = lambda request: answer({"stock": "many"})
    bus = asking.bus()
    ask(bus)
    assert answered(asking, bus, Status.REJECTED).properties[ERROR_KIND] == "contract"
    asking.write("contracts/stock/v1.json", "{}")
    mended = asking.bus()
    ask(mended, **{ASKED: "1"})
    assert json.loads(answered(asking, mended, Status.COMPLETED).message.body) == {"stock": "many"}
    assert len(asking.outside("target").calls) == 1


def test_a_copy_of_a_rejected_command_hears_the_same_and_is_not_sent(asking: Rig) -> None:
    """Its caller may have compensated by now."""
    asking.outside("target").script = refuse
    bus = asking.bus()
    ask(bus)
    first = answered(asking, bus, Status.REJECTED)
    asking.outside("target").script = lambda request: answer({"stock": 7})
    ask(bus)
    drive(endpoint_worker(bus), lambda: asking.left(queue_of("target")) == 0, "the copy is settled")
    (second,) = answers(bus)
    assert (second.message.id, dict(second.properties)) == (first.message.id, dict(first.properties))
    assert len(asking.outside("target").calls) == 1


@pytest.mark.parametrize("operation", ["ask", "shoot"])
def test_a_caller_who_has_heard_of_the_failure_may_ask_again(asking: Rig, operation: str) -> None:
    """With a higher number: then it is sent once more, under the same key."""
    asking.outside("target").script = refuse
    bus = asking.bus()
    ask(bus, operation=operation)
    answered(asking, bus, Status.REJECTED)
    asking.outside("target").script = lambda request: answer({"stock": 7})
    ask(bus, operation=operation, **{ASKED: "1"})
    assert answered(asking, bus, Status.COMPLETED).properties[REPLY] == "done"
    assert len({request.key for request in asking.outside("target").calls}) == 1
    assert asking.ledger().rejected == 0


def test_what_is_past_its_deadline_is_not_sent(asking: Rig) -> None:
    """Nobody waits for it any more."""
    bus = asking.bus()
    ask(bus, **{DEADLINE: "1000000000"})
    assert answered(asking, bus, Status.REJECTED).properties[ERROR_KIND] == "deadline"
    assert asking.outside("target").calls == []


def test_a_try_that_would_come_too_late_is_not_waited_for(asking: Rig) -> None:
    """The failure is answered at once, with what happened last."""

    def script(request: Request) -> None:
        raise Unreachable("nobody there")

    asking.outside("target").script = script
    bus = asking.bus(clock=lambda: 5000.0)
    ask(bus, **{DEADLINE: "5000.01"})
    reply = answered(asking, bus, Status.REJECTED)
    assert reply.properties[ERROR_KIND] == "deadline"
    assert "nobody there" in reply.properties[ERROR]


def test_in_doubt_is_not_answered_by_itself(asking: Rig) -> None:
    """Nobody can know: a person decides, and the retry answers."""
    ask(asking.bus(), operation="shoot")
    dies(endpoint_worker(asking.bus(Point("endpoint: sent"))))
    bus = asking.bus()
    worker = endpoint_worker(bus)
    drive(worker, status_is(asking, Status.IN_DOUBT), "it is in doubt")
    assert answers(bus) == []
    asking.retry()
    drive(worker, status_is(asking, Status.COMPLETED), "the retry went through")
    assert [reply.properties[REPLY] for reply in answers(bus)] == ["done"]


@pytest.mark.parametrize("point", ["endpoint: sent", "endpoint: recorded", "endpoint: replied", "endpoint: settled"])
@pytest.mark.parametrize("outcome", [Status.COMPLETED, Status.REJECTED])
def test_a_death_at_any_point_loses_no_answer(asking: Rig, point: str, outcome: Status) -> None:
    """One effect, and the same answer, perhaps twice: from the second process on it is the stored one."""
    _death_loses_no_answer(asking, point, outcome)


@pytest.mark.parametrize("point", ["endpoint: recorded", "endpoint: replied"])
def test_the_same_on_servers(server_rig: Rig, point: str) -> None:
    """RabbitMQ and PostgreSQL."""
    _death_loses_no_answer(prepared(server_rig), point, Status.COMPLETED)


def _death_loses_no_answer(rig: Rig, point: str, outcome: Status) -> None:
    rig.outside("target").script = refuse if outcome is Status.REJECTED else lambda request: answer({"stock": 7})
    ask(rig.bus())
    dies(endpoint_worker(rig.bus(Point(point))))
    if point != "endpoint: sent":  # from here on another answer of the other side must not count
        rig.outside("target").script = lambda request: answer({"stock": 8})
    bus = rig.bus()
    ended = status_is(rig, outcome)
    drive(endpoint_worker(bus), lambda: rig.depth(HERE) and ended(), "it ended, and an answer is there")
    replies = answers(bus)
    assert {reply.message.id for reply in replies} == {derive_id("order-1", 0, OUT, "reply", 0)}
    assert {reply.properties[REPLY] for reply in replies} == {"failed" if outcome is Status.REJECTED else "done"}
    assert b"8" not in b"".join(reply.message.body for reply in replies)
    assert len(rig.outside("target").sent) <= 1
    assert rig.parked() == []


def test_an_answer_that_no_queue_takes_waits_in_the_outbox(asking: Rig) -> None:
    """It holds up nobody at the endpoint, and goes out when its queue is there."""
    bus = asking.bus()
    send(bus, order(1), operation="ask", **{REPLY_TO: "esb.flow.later.resume"})
    drive(endpoint_worker(bus), status_is(asking, Status.COMPLETED), "done and settled")
    with bus.store.reading() as t:
        assert t.outbox.count() == 1
    sweep(bus)
    with bus.store.reading() as t:
        assert t.outbox.count() == 1


# --- taken for dead -----------------------------------------------------------------------------------------------


def test_who_was_taken_for_dead_answers_though_its_delivery_is_gone(asking: Rig) -> None:
    """Another process put the call in doubt and settled it: it never comes again, and the answer still goes out."""
    silent, speak = slow_to_answer(asking)
    other = endpoint_worker(asking.bus())
    drive(other, asking.parked, "another process takes it for dead")
    silent.recover()  # its connection is lost, and what it held is the other's, too
    drive(other, lambda: asking.left(queue_of("target")) == 0, "the other settles it")
    speak()
    drive(silent, status_is(asking, Status.COMPLETED), "it is done after all")
    sweep(asking.last)
    assert {delivery.properties[REPLY] for delivery in answers(asking.last)} == {"done"}


def test_what_is_over_in_the_meantime_is_answered(asking: Rig) -> None:
    """Whoever wrote that it is done may not live to answer: the copy that another process has is answered too."""
    silent, speak = slow_to_answer(asking)

    def tell_and_die(point: str) -> None:
        if point == "endpoint: sent":
            speak()
            ended = silent._wait(5.0)
            silent._unrecorded += ended
            silent._make_up()
            silent._consumer.settle([attempt.delivery for attempt in ended])  # of two copies one is left

    drive(endpoint_worker(asking.bus(tell_and_die)), status_is(asking, Status.COMPLETED), "the copy is settled")
    assert [delivery.properties[REPLY] for delivery in answers(asking.last)] == ["done"]


def slow_to_answer(rig: Rig) -> tuple[EndpointWorker, Callable[[], None]]:
    """A worker that has made an unkeyed call, and what makes the other side answer; another copy of the call waits.

    It keeps no lease, so that it looks dead to others.
    """
    event = threading.Event()
    rig.outside("target").script = lambda request: answer(None) if event.wait(10) else None
    bus = rig.bus()
    ask(bus, operation="shoot")
    worker = endpoint_worker(bus)
    drive(worker, lambda: rig.outside("target").calls, "it is being sent")
    ask(bus, operation="shoot")
    return worker, event.set
