"""In doubt: the other side is asked whether an unkeyed send took place, before anything is sent again."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from esb.errors import Busy, Interrupted, Refused, Unreachable
from esb.ports import Request
from esb.store import Status
from tests.worker.rig import Point, Rig, dies, drive, endpoint_worker, order, send
from tests.worker.test_endpoint_worker import OUT, settled


@pytest.fixture
def asking(rig: Rig) -> Rig:
    rig.write(
        "endpoints/target.yaml",
        """\
        endpoint: target
        adapter: scripted
        timeout: 2s
        operations:
          put: {effect: keyed}
          shoot: {effect: unkeyed, asks: true}
        """,
    )
    return rig


def killed(rig: Rig, point: str) -> None:
    """A process took the order and died there."""
    send(rig.bus(), order(1), operation="shoot")
    dies(endpoint_worker(rig.bus(Point(point))))


def test_what_took_place_before_its_sender_died_is_done(asking: Rig) -> None:
    """The other side says so; it is not sent again, and nobody is bothered."""
    killed(asking, "endpoint: sent")
    drive(endpoint_worker(asking.bus()), settled(asking, 1), "it is done")
    assert (len(asking.outside("target").calls), len(asking.outside("target").asked)) == (1, 1)
    assert asking.parked() == []
    hop = asking.hop("order-1", OUT)
    assert hop is not None
    assert hop.detail == "it was there"


def test_what_did_not_take_place_is_sent(asking: Rig) -> None:
    """Its sender died between saying that it begins and sending."""
    killed(asking, "endpoint: started")
    drive(endpoint_worker(asking.bus()), settled(asking, 1), "it is sent")
    assert asking.outside("target").numbers() == [1]
    assert len(asking.outside("target").asked) == 1


def losing(rig: Rig, *, effect: bool) -> Callable[[Request], None]:
    """The first answer is lost, behind the effect or before it."""
    lost = [False]

    def script(request: Request) -> None:
        if not lost[0]:
            lost[0] = True
            if effect:
                rig.outside("target").receive(request)
            raise Interrupted("the line went dead")

    return script


@pytest.mark.parametrize(("effect", "calls"), [(True, 1), (False, 2)])
def test_a_lost_answer_is_asked_for_after_a_delay(asking: Rig, effect: bool, calls: int) -> None:
    """Not at once: the other side may still be at it. By whichever process gets it; one effect in any case."""
    asking.outside("target").script = losing(asking, effect=effect)
    first = asking.bus()
    send(first, order(1), operation="shoot")
    worker = endpoint_worker(first)
    drive(worker, settled(asking, 1, as_=Status.RETRYING), "it waits")
    with first.store.transaction() as t:
        t.leases.acquire(f"owner:{first.context.owner}", first.context.owner, 60)  # the first one lives
    worker.finish()
    drive(endpoint_worker(asking.bus()), settled(asking, 1), "another process settles it")
    outside = asking.outside("target")
    assert (len(outside.calls), len(outside.asked), outside.numbers()) == (calls, 1, [1])
    assert asking.parked() == []


@pytest.mark.parametrize(
    "error", [Unreachable("no route"), Busy("later"), Refused("who are you?"), RuntimeError("a bug")], ids=repr
)
def test_what_cannot_be_asked_stays_in_doubt(asking: Rig, error: Exception) -> None:
    """Whatever comes instead of an answer: it is never sent, is asked again after each delay, then a person decides."""
    killed(asking, "endpoint: sent")

    def silent(request: Request) -> None:
        raise error

    asking.outside("target").answerable = silent
    drive(endpoint_worker(asking.bus()), settled(asking, 1, as_=Status.IN_DOUBT), "a person decides")
    assert (len(asking.outside("target").calls), len(asking.outside("target").asked)) == (1, 3)
    (row,) = asking.parked()
    assert row.kind == "in doubt"


def test_a_sign_of_life_in_between_is_enough(asking: Rig) -> None:
    """The first question fails, the second is answered."""
    killed(asking, "endpoint: sent")
    silent = [True]

    def answerable(request: Request) -> None:
        if silent.pop() if silent else False:
            raise Unreachable("no route")

    asking.outside("target").answerable = answerable
    drive(endpoint_worker(asking.bus()), settled(asking, 1), "it is done")
    assert (len(asking.outside("target").calls), len(asking.outside("target").asked)) == (1, 2)


def test_whoever_called_gets_what_the_other_side_says(asking: Rig) -> None:
    """The probe's answer stands for the one that was lost."""
    send(asking.bus(), order(1), operation="shoot", **{"reply-to": "esb.flow.main"})
    dies(endpoint_worker(asking.bus(Point("endpoint: sent"))))
    bus = asking.bus()
    drive(endpoint_worker(bus), settled(asking, 1), "it is done")
    consumer = bus.broker.consumer(["esb.flow.main"], 10)
    (reply,) = consumer.take(10, 5)
    consumer.close()
    assert (reply.properties["reply"], json.loads(reply.message.body)) == ("done", None)
