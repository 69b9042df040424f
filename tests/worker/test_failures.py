"""The failed-message store in bounds: a place that fails without end is stopped; what is old goes if that is said."""

from __future__ import annotations

import msgspec

from esb.config.keeping import Parked as Settings
from esb.errors import Refused
from esb.flow.switchable import PAUSED
from esb.store import Status
from esb.worker.failures import keep_in_bounds
from tests.worker.rig import Rig, drive, endpoint_worker, feed, flow_worker, order, send, upkeep


def bounded(rig: Rig, **settings: object) -> str:
    """What the job does under these settings."""
    home = upkeep(rig.last)
    config = home.definition.config.model_copy(update={"parked": Settings.model_validate(settings)})
    definition = msgspec.structs.replace(home.definition, config=config)
    return keep_in_bounds(msgspec.structs.replace(home, definition=definition))


def failed(rig: Rig) -> None:
    """Three orders are parked at the target, two in the flow."""
    bus = rig.bus()

    def refuse(_: object) -> None:
        raise Refused("no")

    rig.outside("target").script = refuse
    send(bus, *(order(n) for n in range(3)))
    feed(bus, *(order(n, items="none") for n in range(2)))
    drive(endpoint_worker(bus), lambda: len(rig.parked()) == 3, "three at the target")
    drive(flow_worker(bus), lambda: len(rig.parked()) == 5, "two in the flow")


def test_a_place_with_too_many_is_paused_and_nothing_is_dropped(rig: Rig) -> None:
    """The endpoint at three, the flow at two; paused once, with the reason, and audited."""
    failed(rig)
    assert bounded(rig, most=3) == "places paused: 1, messages discarded: 0"
    with rig.last.store.reading() as t:
        assert list(t.pauses.all()) == ["target"]
        assert "3 parked messages" in t.pauses.all()["target"].reason
        assert t.switches.all() == []
    assert bounded(rig, most=2) == "places paused: 1, messages discarded: 0"
    with rig.last.store.reading() as t:
        assert [(s.name, s.value) for s in t.switches.all()] == [("main", PAUSED)]
    assert len(rig.parked()) == 5
    assert bounded(rig, most=0) == "places paused: 0, messages discarded: 0"


def test_what_nobody_decided_about_is_discarded_only_where_that_is_said(rig: Rig) -> None:
    """As a person would: the journey says so, and the audit who."""
    failed(rig)
    assert bounded(rig, most=0).endswith("discarded: 0")
    assert bounded(rig, most=0, discard_after="1h").endswith("discarded: 0")
    assert bounded(rig, most=0, discard_after=0).endswith("discarded: 5")
    assert rig.parked() == []
    hop = rig.hop("order-1", "flow:main")
    assert hop is not None
    assert hop.status is Status.DISCARDED
    with rig.last.store.reading() as t:
        assert {entry.who for entry in t.audit.list()} == {"the bus"}
