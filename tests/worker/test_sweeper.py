"""What has to happen from time to time: outbox and timers, whatever dies and whoever is not there."""

from __future__ import annotations

import pytest

from esb.broker.port import endpoint_queue
from esb.bus import Bus
from esb.message import Message
from esb.store import Dispatch, Timer
from esb.worker import sweeper as module
from esb.worker.sweeper import Heartbeat, Sweeper
from tests.worker.rig import Rig, order, sweep

TARGET = endpoint_queue("target")


def add(bus: Bus, kind: str, message: Message, to: str = TARGET) -> None:
    with bus.store.transaction() as t:
        if kind == "outbox":
            t.outbox.add([Dispatch(message=message, to=to)])
        else:
            t.timers.add([Timer(id=f"{to} {message.id}", due_at=1.0, to=to, message=message)])


def taken(bus: Bus) -> list[str]:
    consumer = bus.broker.consumer((TARGET,), 100)
    ids = [delivery.message.id for delivery in consumer.take(100, 0.1)]
    consumer.close()
    return ids


@pytest.fixture(params=["outbox", "timers"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_due_is_published_once(rig: Rig, kind: str) -> None:
    """And then it is gone from the store."""
    bus = rig.bus()
    add(bus, kind, order(1))
    sweep(bus)
    sweep(bus)
    assert rig.depth(TARGET) == 1


def test_a_death_between_publish_and_delete_repeats_the_same_id(rig: Rig, kind: str) -> None:
    """The inboxes recognise it."""
    bus = rig.bus()
    add(bus, kind, order(1))
    sweeper = Sweeper(bus.context)
    sweeper.stopping.set()
    publish = sweeper._outbox.publish

    def dying(rows):  # type: ignore[no-untyped-def]
        publish(rows)
        raise KeyboardInterrupt

    sweeper._outbox.publish = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        sweeper._relay() if kind == "outbox" else sweeper._fire()
    with bus.store.transaction() as t:
        t.connection.run("UPDATE outbox SET taken_until = 0")
        t.connection.run("UPDATE leases SET expires_at = 0")
    sweep(bus)
    assert taken(bus) == ["order-1", "order-1"]


def test_what_nobody_takes_neither_spins_nor_blocks(rig: Rig, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole batch for a queue that is gone: the rest goes out behind it, and the batch is tried again later."""
    monkeypatch.setattr(module, "BATCH", 2)
    now = [1e9]
    bus = rig.bus(clock=lambda: now[0])
    for number in range(2):
        add(bus, kind, order(number), to="esb.endpoint.gone")
    add(bus, kind, order(9))
    sweeper = Sweeper(bus.context)
    rounds = [sweeper._relay() if kind == "outbox" else sweeper._fire() for _ in range(3)]
    assert taken(bus) == ["order-9"]
    assert rounds == [False, False, False]  # nothing that would make it look again at once
    with bus.store.reading() as t:
        (left,) = t.connection.row(f"SELECT count(*) FROM {kind}")
    assert left == 2
    sweeper.finish()


def test_timers_fire_although_the_outbox_is_never_empty(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One does not stand before the other."""
    monkeypatch.setattr(module, "BATCH", 1)
    bus = rig.bus()
    for number in range(3):
        add(bus, "outbox", order(number))
    add(bus, "timers", order(9))
    sweep(bus)
    assert "order-9" in taken(bus)


def test_one_process_at_a_time_fires_timers(rig: Rig) -> None:
    """The other leaves them to it, until it ends."""
    first, second = Sweeper(rig.bus().context), Sweeper(rig.bus().context)
    first._fire()
    add(rig.last, "timers", order(1))
    second._fire()
    assert rig.depth(TARGET) == 0
    first.finish()
    second._fire()
    assert rig.depth(TARGET) == 1
    second.finish()


def test_a_heartbeat_keeps_its_owner_alive_until_it_ends(rig: Rig) -> None:
    """Whoever finds the owner's traces knows at once that it is gone."""
    bus = rig.bus()
    heartbeat = Heartbeat(bus.context)
    heartbeat.beat()
    assert _alive(bus)
    heartbeat.finish()
    assert not _alive(bus)


def _alive(bus: Bus) -> bool:
    with bus.store.reading() as t:
        return t.leases.alive(bus.context.owner)
