"""The outbox goes out, whatever dies and whoever is not there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from esb.broker.port import endpoint_queue
from esb.bus import Bus
from esb.errors import BrokerDown
from esb.message import Message
from esb.store import Dispatch, Status
from esb.testing._store.given import owner_that_is_gone
from esb.worker import sweeper as module
from esb.worker.sweeper import Heartbeat, Sweeper
from tests.worker.rig import Rig, order, sweep, until

TARGET = endpoint_queue("target")


def add(bus: Bus, message: Message, to: str = TARGET, event: bool = False, **properties: str) -> None:
    with bus.store.transaction() as t:
        t.outbox.add([Dispatch(message=message, to=to, event=event, properties=properties)])


def taken(bus: Bus) -> list[str]:
    consumer = bus.broker.consumer((TARGET,), 100)
    ids = [delivery.message.id for delivery in consumer.take(100, 0.1)]
    consumer.close()
    return ids


def left(bus: Bus) -> int:
    """Rows of the outbox."""
    with bus.store.reading() as t:
        return t.outbox.count()


def test_what_was_committed_is_published_once(rig: Rig) -> None:
    """And then it is gone from the store."""
    bus = rig.bus()
    add(bus, order(1))
    sweep(bus)
    sweep(bus)
    assert rig.depth(TARGET) == 1


def test_what_no_broker_took_goes_out_as_soon_as_it_is_back(rig: Rig) -> None:
    """It does not rest, as what finds no queue does."""
    bus = rig.bus()
    add(bus, order(1))
    sweeper = Sweeper(bus.context)
    sweeper.stopping.set()
    publish = sweeper._outbox.publish

    def down(rows):  # type: ignore[no-untyped-def]
        raise BrokerDown("no route to host")

    sweeper._outbox.publish = down  # type: ignore[method-assign]
    with pytest.raises(BrokerDown):
        sweeper.cycle()
    sweeper._outbox.publish = publish  # type: ignore[method-assign]
    sweeper.cycle()
    assert (left(bus), taken(bus)) == (0, [order(1).id])


def test_a_death_between_publish_and_delete_repeats_the_same_id(rig: Rig) -> None:
    """The inboxes recognise it."""
    bus = rig.bus()
    add(bus, order(1))
    sweeper = Sweeper(bus.context)
    sweeper.stopping.set()
    publish = sweeper._outbox.publish

    def dying(rows):  # type: ignore[no-untyped-def]
        publish(rows)
        raise KeyboardInterrupt

    sweeper._outbox.publish = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        sweeper._relay()
    with bus.store.transaction() as t:
        t.connection.run("UPDATE outbox SET taken_until = 0")
    sweep(bus)
    assert taken(bus) == ["order-1", "order-1"]


def test_what_nobody_takes_neither_spins_nor_blocks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole batch for a queue that is gone: the rest goes out behind it, and the batch is tried again later."""
    monkeypatch.setattr(module, "BATCH", 2)
    now = [1e9]
    bus = rig.bus(clock=lambda: now[0])
    for number in range(2):
        add(bus, order(number), to="esb.endpoint.gone")
    add(bus, order(9))
    sweeper = Sweeper(bus.context)
    rounds = [sweeper._relay() for _ in range(3)]
    assert taken(bus) == ["order-9"]
    assert rounds == [False, False, False]  # nothing that would make it look again at once
    assert left(bus) == 2
    sweeper.finish()


def test_a_kick_ends_the_wait(rig: Rig) -> None:
    """What was committed in this process goes out at once, however long the wait between two looks."""
    bus = rig.bus()
    sweeper = Sweeper(bus.context, every=600)
    sweeper.start()
    add(bus, order(1))
    sweeper.kick()
    until(lambda: rig.depth(TARGET) == 1, "it is relayed")
    sweeper.stop()
    sweeper.join(10)
    assert not sweeper.is_alive()


def test_a_heartbeat_keeps_its_owner_alive_until_it_ends(rig: Rig) -> None:
    """Whoever finds the owner's traces knows at once that it is gone."""
    bus = rig.bus()
    heartbeat = Heartbeat(bus.context)
    heartbeat.beat()
    assert _alive(bus)
    heartbeat.finish()
    assert not _alive(bus)


def test_a_heartbeat_ends_the_leases_of_the_dead(rig: Rig) -> None:
    """Of this machine: whoever is started in their place waits for nothing. The living keep theirs."""
    living, bus = rig.bus(), rig.bus()
    Heartbeat(living.context).beat()
    with bus.store.transaction() as t:
        t.leases.acquire("poll source", owner_that_is_gone(), 15.0)
    Heartbeat(bus.context).beat()
    with bus.store.transaction() as t:
        assert t.leases.acquire("poll source", bus.context.owner, 15.0) == 2
    assert [_alive(one) for one in (living, bus)] == [True, True]


def test_a_heartbeat_hands_on_what_the_dead_were_to_publish(rig: Rig) -> None:
    """Others publish it with their next look, and not when the hold of the dead runs out."""
    bus, dead = rig.bus(), owner_that_is_gone()
    add(bus, order(1))
    with bus.store.transaction() as t:
        t.leases.acquire(f"owner:{dead}", dead, 15.0)
        t.outbox.take(10, dead, 600)
        assert not t.outbox.due()
    Heartbeat(bus.context).beat()
    with bus.store.reading() as t:
        assert t.outbox.due()


def test_a_clock_that_is_set_back_keeps_no_dead_alive(rig: Rig) -> None:
    """Their leases run out all the same, and others take over; whoever lives is alive at every moment."""
    dead, slow, bus = rig.bus(), rig.bus(), rig.bus()
    for one in (dead, slow, bus):
        Heartbeat(one.context).beat()
    with dead.store.transaction() as t:
        t.leases.acquire("poll source", dead.context.owner, 15.0)
    _turn_clock(bus, -3600)
    Heartbeat(bus.context).beat()
    assert [_alive(one) for one in (dead, slow, bus)] == [True, True, True]
    Heartbeat(slow.context).beat()
    _turn_clock(bus, 121)
    Heartbeat(bus.context).beat()
    assert not _alive(dead)
    with bus.store.transaction() as t:
        assert t.leases.acquire("poll source", bus.context.owner, 15.0) == 2


def _turn_clock(bus: Bus, seconds: float) -> None:
    """For the leases it is the same whether the clock goes on or they go back."""
    with bus.store.transaction() as t:
        t.connection.run("UPDATE leases SET expires_at = expires_at - ?", (seconds,))


def _alive(bus: Bus) -> bool:
    with bus.store.reading() as t:
        return t.leases.alive(bus.context.owner)


def test_what_cannot_be_published_is_parked_and_its_neighbours_go_out(server_rig: Rig) -> None:
    """Its headers fit into no frame. It stopped all that were taken together with it, each time again."""
    bus = server_rig.bus()
    large = replace(order(2), headers={"h": "x" * 200_000})
    for message in (order(1), large, order(3)):
        add(bus, message, operation="put")
    sweep(bus)
    assert taken(bus) == ["order-1", "order-3"]
    (row,) = server_rig.parked()
    assert (row.key, row.queue, row.operation, row.kind) == (("order-2", "out:target"), TARGET, "put", "message")
    assert "131064 at most" in row.error
    assert server_rig.hop("order-2", "out:target").status == Status.PARKED  # type: ignore[union-attr]
    assert left(bus) == 0


def test_an_event_that_cannot_be_published_is_parked_and_retried_as_one(server_rig: Rig) -> None:
    """A person who retries it sends it to whoever wants it, not to a queue of that name."""
    bus = server_rig.bus()
    add(bus, replace(order(1), headers={"h": "x" * 200_000}), to="order.v1", event=True)
    sweep(bus)
    (row,) = server_rig.parked()
    assert row.place == "event:order/v1"
    with bus.store.transaction() as t:
        t.parked.retry([row.key], who="operator")
        (again,) = t.outbox.take(10, "nobody", 0.0)
    assert (again.event, again.to) == (True, "order.v1")


def test_a_body_that_the_broker_does_not_take_is_parked_and_its_neighbours_go_out(narrow_rig: Rig) -> None:
    """As what has too many headers."""
    bus = narrow_rig.bus()
    for message in (order(1), order(2, key="x" * 120_000), order(3)):
        add(bus, message)
    sweep(bus)
    assert set(taken(bus)) == {"order-1", "order-3"}
    (row,) = narrow_rig.parked()
    assert (row.message.id, left(bus)) == ("order-2", 0)
    assert "max_message_size" in row.error
