"""The way in for requests that wait: whoever hears "accepted" is safe, and everybody hears something."""

from __future__ import annotations

import time
from concurrent.futures import Future

import msgspec
import pytest

from esb.broker.port import Queue, Topology, flow_queue
from esb.bus import Bus
from esb.errors import BrokerDown, ContractError, MessageError, Paused, QueueFull, StoreDown
from esb.ports import Arrival
from esb.worker import ingress as module
from esb.worker.ingress import Answer, Ingress
from tests.worker.rig import Rig, store_down

QUEUE = flow_queue("main")
UUID7 = "0195D2A1-7C00-7000-8000-000000000001"


def arrival(number: object, id: str | None = None) -> Arrival:
    body = b'{"number": %s, "key": "k"}' % str(number).encode()
    return Arrival(body=body, content_type="application/x-ndjson", id=id)


def entered(bus: Bus, *arrivals: Arrival) -> list[Future[Answer]]:
    """Enter all of them, and one round for them."""
    ingress = bus.ingress()
    answers = [ingress.enter("source", one) for one in arrivals]
    ingress.cycle()
    ingress.recover()
    return answers


def states(answers: list[Future[Answer]]) -> list[str]:
    return [answer.result(0).state for answer in answers]


def test_accepted_is_in_the_broker_and_tracked(rig: Rig) -> None:
    """When the answer is there, so is the message."""
    assert states(entered(rig.bus(), arrival(1), arrival(2))) == ["accepted", "accepted"]
    assert rig.depth(QUEUE) == 2
    assert rig.ledger().accepted == 2


def test_large_requests_are_not_all_published_together(rig: Rig) -> None:
    """A batch is full with 8 MB, however few arrivals it has; the next round takes the others."""
    bus = rig.bus()
    ingress = bus.ingress()
    large = Arrival(body=b'{"number": 1, "note": "%s"}' % (b"x" * 3 * 1024**2), content_type="application/x-ndjson")
    answers = [ingress.enter("source", large) for _ in range(5)]
    ingress.cycle()
    assert [answer.done() for answer in answers] == [True, True, True, False, False]
    ingress.cycle()
    ingress.recover()
    assert states(answers) == ["accepted"] * 5


def test_refused_is_stored_nowhere(rig: Rig) -> None:
    """The caller knows why, at once."""
    (answer,) = entered(rig.bus(), arrival('"one"'))
    assert isinstance(answer.result(0).error, ContractError)
    assert rig.ledger().accepted == 0
    assert rig.parked() == []


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_one_that_the_broker_cannot_take_is_refused_alone(server_rig: Rig) -> None:
    """Its business key or its headers are too long; whoever comes at the same moment, or the same again, gets in."""
    bus = server_rig.bus()
    body = b'{"number": 2, "key": "%s"}' % (b"k" * 140_000)
    keyed = Arrival(body=body, content_type="application/x-ndjson", id="b")
    headed = msgspec.structs.replace(arrival(3, "c"), headers={"note": "n" * 140_000})
    answers = entered(bus, arrival(1, "a"), keyed, headed, arrival(4, "d"), arrival(4, "d"))
    assert states(answers) == ["accepted", "refused", "refused", "accepted", "duplicate"]
    assert [type(answers[n].result(0).error) for n in (1, 2)] == [ContractError, MessageError]
    assert (server_rig.depth(QUEUE), server_rig.ledger().accepted, server_rig.parked()) == (2, 2, [])


def test_what_comes_in_through_a_paused_endpoint_is_told_to_come_again(rig: Rig) -> None:
    """Nothing of it is stored, and once the endpoint is resumed the same is accepted."""
    bus = rig.bus()
    with bus.store.transaction() as t:
        t.pauses.pause("source", "ops", "stocktaking")
    (answer,) = entered(bus, arrival(1, "a"))
    assert isinstance(answer.exception(0), Paused)
    assert (rig.depth(QUEUE), rig.ledger().accepted) == (0, 0)
    with bus.store.transaction() as t:
        t.pauses.resume("source", "ops")
    bus.context.board.stale()
    assert states(entered(bus, arrival(1, "a"))) == ["accepted"]


def test_the_same_key_again_is_a_duplicate(rig: Rig) -> None:
    """Later, and in the very same batch: one message, and the same id for all."""
    bus = rig.bus()
    first = entered(bus, arrival(1, "a"), arrival(1, "a"), arrival(2, "b"))
    later = entered(bus, arrival(1, "a"))
    assert states(first + later) == ["accepted", "duplicate", "accepted", "duplicate"]
    assert len({answer.result(0).id for answer in (first[0], first[1], later[0])}) == 1
    assert rig.depth(QUEUE) == 2


def test_a_key_that_is_a_uuid7_lends_the_id_its_time(rig: Rig) -> None:
    """So it sorts with its neighbours; a key without a time gives the same id for ever all the same."""
    bus = rig.bus()
    timed, repeated, plain = entered(bus, *(arrival(n, key) for n, key in ((1, UUID7), (1, UUID7), (2, "web-1001"))))
    assert timed.result(0).id[:15] == UUID7[:14].lower() + "8"
    assert repeated.result(0).state == "duplicate"
    assert plain.result(0).id.startswith("00000000-0000-8")


@pytest.mark.parametrize("limit", [1, 0])
def test_a_full_or_missing_queue_refuses_service_and_stores_nothing(rig: Rig, limit: int) -> None:
    """The caller shall come again; it is not parked behind its back."""
    bus = rig.bus(prepare=False)
    bus.store.migrate()
    if limit:
        bus.broker.declare(Topology((Queue(QUEUE, limit=limit),)))
        bus.prepare()
    answers = entered(bus, arrival(1, "a"), arrival(2, "b"), arrival(2, "b"))
    assert [type(answer.exception(0)) for answer in answers] == [QueueFull if not limit else type(None)] + [
        QueueFull
    ] * 2
    assert rig.ledger().accepted == limit
    assert rig.parked() == []


def test_what_was_refused_for_a_full_queue_is_new_next_time(rig: Rig) -> None:
    """Under the same key: not a duplicate of what never entered."""
    bus = rig.bus(prepare=False)
    bus.broker.declare(Topology((Queue(QUEUE, limit=1),)))
    bus.prepare()
    entered(bus, arrival(1, "a"), arrival(2, "b"))
    bus.broker.purge(QUEUE)
    assert states(entered(bus, arrival(2, "b"))) == ["accepted"]


def test_a_store_that_is_down_is_said_in_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a short patience, not after the ten minutes of a worker."""
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    bus = rig.bus()
    began = time.monotonic()
    with store_down(bus):
        (answer,) = entered(bus, arrival(1))
    assert isinstance(answer.exception(0), StoreDown)
    assert time.monotonic() - began < 5
    assert states(entered(bus, arrival(1))) == ["accepted"]


def test_a_broker_that_is_down_is_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next request finds it again, without a restart."""
    bus = rig.bus()
    ingress = bus.ingress()
    with monkeypatch.context() as patch:
        patch.setattr(bus.broker, "publisher", _nobody)
        answer = ingress.enter("source", arrival(1))
        ingress.cycle()
    assert isinstance(answer.exception(0), BrokerDown)
    again = ingress.enter("source", arrival(1))
    ingress.finish()
    assert again.result(0).state == "accepted"


def _nobody(name: str) -> None:
    raise BrokerDown("nobody listens, says the test")


def test_one_failure_does_not_silence_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that one endpoint's arrivals bring about is answered, and so is everybody else."""
    rig.write("endpoints/other.yaml", "endpoint: other\nadapter: scripted\nreceive: {}\n")
    rig.write("flows/other.yaml", "flow: other\nfrom: other\nsteps: [{send: target.put}]\n")
    bus = rig.bus()
    ingress = bus.ingress()
    monkeypatch.setattr(ingress._doors["source"], "record", lambda *_: 1 / 0)
    answers = [ingress.enter(name, arrival(1)) for name in ("source", "other", "source")]
    assert isinstance(ingress, Ingress)
    ingress.cycle()
    assert isinstance(answers[0].exception(0), BrokerDown)
    assert isinstance(answers[2].exception(0), BrokerDown)
    assert answers[1].result(0).state == "accepted"


def test_a_caller_who_gave_up_does_not_silence_the_others(rig: Rig) -> None:
    """His future is cancelled; those behind it in the batch are answered."""
    bus = rig.bus()
    ingress = bus.ingress()
    first, second = ingress.enter("source", arrival(1)), ingress.enter("source", arrival(2))
    first.cancel()
    ingress.cycle()
    assert second.result(0).state == "accepted"


def test_who_waits_when_it_stops_is_answered(rig: Rig) -> None:
    """And who comes after that is told so."""
    bus = rig.bus()
    ingress = bus.ingress()
    waiting = [ingress.enter("source", arrival(number)) for number in range(3)]
    ingress.start()
    ingress.stop()
    ingress.join(5)
    assert states(waiting) == ["accepted"] * 3
    assert isinstance(ingress.enter("source", arrival(9)).exception(0), BrokerDown)


def test_what_the_broker_does_not_take_is_refused_and_its_neighbours_are_accepted(narrow_rig: Rig) -> None:
    """Whoever sent it hears why, and need not come again."""
    body = b'{"number": 2, "items": [{"sku": "%s"}]}' % (b"x" * 120_000)
    large = Arrival(body=body, content_type="application/x-ndjson")
    answers = entered(narrow_rig.bus(), arrival(1), large, arrival(3))
    assert states(answers) == ["accepted", "refused", "accepted"]
    assert "takes 100000 at most" in str(answers[1].result(0).error)
