"""Back-pressure: while too much waits behind a source nothing more comes in there; what is in goes its way."""

from __future__ import annotations

from typing import cast

import pytest
from click.testing import CliRunner

from esb.broker.port import Broker, Depth, endpoint_queue, flow_queue, inbound_queue
from esb.errors import BrokerDown, QueueFull
from esb.ports import Arrival
from esb.worker import pressure
from esb.worker.pressure import limits_behind
from tests.worker.rig import Rig, drive, endpoint_worker, feed, flow_worker, order, poller, send

TARGET = endpoint_queue("target")


@pytest.fixture
def rig(embedded_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Three may wait anywhere; the queues are looked at each time."""
    monkeypatch.setattr(pressure, "LOOK", 0.0)
    text = (embedded_rig.root / "esb.yaml").read_text()
    (embedded_rig.root / "esb.yaml").write_text(text + "backlog: 3\n")
    return embedded_rig


def arrival(number: int) -> Arrival:
    return Arrival(body=b'{"number": %d, "key": "k"}' % number, content_type="application/x-ndjson")


def test_a_full_endpoint_refuses_at_the_door_and_stops_no_flow(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes in is told to come again, and by which queue; the flow goes on."""
    monkeypatch.setattr(pressure, "REST", 0.0)  # however long a look takes
    bus = rig.bus()
    send(bus, *(order(n) for n in range(3)))
    ingress = bus.ingress()
    answer = ingress.enter("source", arrival(10))
    ingress.cycle()
    assert isinstance(answer.exception(0), QueueFull)
    assert f"3 messages wait in {TARGET}" in str(answer.exception(0))
    feed(bus, order(4))
    drive(flow_worker(bus), lambda: rig.depth(TARGET) == 4, "what is in goes its way")
    drive(endpoint_worker(bus), lambda: rig.left(TARGET) == 0, "it is sent")
    again = ingress.enter("source", arrival(10))
    ingress.cycle()
    ingress.recover()
    assert again.result(0).state == "accepted"


def test_polls_rest_while_too_much_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is claimed; as soon as there is room it goes on."""
    monkeypatch.setattr(pressure, "REST", 0.0)  # however long a look takes
    bus = rig.bus()
    feed(bus, *(order(n) for n in range(3)))
    polling = poller(bus)
    assert not polling._may_poll()
    drive(flow_worker(bus), lambda: rig.left(flow_queue("main")) == 0, "the flow has taken them")
    assert not polling._may_poll(), "now they wait for the endpoint"
    drive(endpoint_worker(bus), lambda: rig.left(TARGET) == 0, "they are sent")
    assert polling._may_poll()


def test_all_that_comes_of_a_source_counts(rig: Rig) -> None:
    """Through flows and their events to the last endpoint; each limit is its own, or the bus's."""
    rig.write("flows/main.yaml", "flow: main\nfrom: source\nbacklog: 7\nsteps: [{publish: order/v1}]\n")
    rig.write("flows/then.yaml", "flow: then\nfrom: order/v1\nsteps: [{call: target.put}]\n")
    text = (rig.root / "endpoints/target.yaml").read_text()
    rig.write("endpoints/target.yaml", "backlog: 0\n" + text)
    assert limits_behind(rig.bus(prepare=False).definition, "source") == {
        inbound_queue("source"): 3,
        flow_queue("main"): 7,
        flow_queue("then"): 3,
        "esb.flow.then.resume": 3,
        TARGET: 0,
    }


def test_esb_send_says_that_too_much_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, and nothing is sent."""
    from esb.cli import main
    from esb.cli import send as module
    from tests.worker.rig import COMPONENTS

    bus = rig.bus()
    send(bus, *(order(n) for n in range(3)))
    monkeypatch.setattr(module, "load", lambda root, env: (bus.definition, COMPONENTS))
    (rig.root / "one.json").write_text('{"number": 1, "key": "k"}')
    said = CliRunner().invoke(main, ["send", "-C", str(rig.root), "source", str(rig.root / "one.json")])
    assert said.exit_code == 1
    assert "3 messages wait in" in said.stderr
    assert rig.depth(inbound_queue("source")) == 0


def test_while_the_broker_is_away_it_is_not_asked_again_and_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes in meanwhile is told by the publish, without waiting for a second connection."""
    bus, asked = rig.bus(), []

    def away(queues: object) -> None:
        asked.append(queues)
        raise BrokerDown("away, says the test")

    monkeypatch.setattr(bus.broker, "depths", away)
    assert [bus.context.pressure("source") for _ in range(5)] == [""] * 5
    assert len(asked) == 1


def test_a_look_that_takes_long_is_followed_by_a_longer_rest(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is asked for a thousand queues would do nothing else."""
    clock, looks = [100.0], []

    class Slow:
        def depths(self, queues: list[str]) -> dict[str, Depth]:
            looks.append(clock[0])
            clock[0] += 0.5
            return {}

    monkeypatch.setattr(pressure.time, "monotonic", lambda: clock[0])
    looked_at = pressure.Pressure(rig.bus(prepare=False).definition, cast(Broker, Slow()))
    for _ in range(100):
        looked_at.trouble("source")
        clock[0] += 0.25
    assert looks == [100.0, 110.5, 121.0]
