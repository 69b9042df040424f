"""What a person does with parked messages: in pieces, with what is hidden left hidden."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from esb.errors import ContractError, DecodeError, Refused
from esb.store import Chosen
from esb.worker import repair
from esb.worker.replays import AT_ONCE
from tests.worker.rig import ORDER, Rig, drive, endpoint_worker, order, send

CARD = "4111-1111-1111-1111"
MASKED = {**ORDER, "x-mask": ["card", "items[].pin"], "properties": {**ORDER["properties"], "card": {"minLength": 4}}}
MASKED["properties"]["items"] = {"type": "array", "items": {"properties": {"pin": {}}}}


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A bus whose orders hide a card, and an endpoint that refuses everything."""
    rig.write("contracts/order/v1.json", json.dumps(MASKED))

    def script(request):
        raise Refused("no")

    rig.outside("target").script = script
    return rig


def parked(rig: Rig, count: int = 1, **more):
    """Orders parked at the endpoint, and the bus."""
    bus = rig.bus()
    send(bus, *(order(n, card=CARD, **more) for n in range(count)))
    drive(endpoint_worker(bus), lambda: len(rig.parked()) == count, "all are parked")
    return bus


@pytest.mark.parametrize("act", ["retry", "discard"])
def test_a_group_is_acted_on_in_pieces(rig: Rig, act):
    """All of them, each audited; what was parked after the choice is left alone."""
    bus = parked(rig, 5)
    until = sorted(row.parked_at for row in rig.parked())[3]
    count = sum(row.parked_at <= until for row in rig.parked())
    acted = repair.act_on(bus.store, act, Chosen(kind="refused", until=until), "eve", "mended", piece=2)
    assert (acted.count, acted.replay) == (count, "")
    with bus.store.reading() as t:
        assert [entry.reason for entry in t.audit.list()] == ["mended"] * count
        assert t.parked.count(Chosen()) == 5 - count


def test_many_are_sent_on_by_a_replay(rig: Rig):
    """Of more than can be sent on at once the jobs take care, a piece at a time."""
    bus = parked(rig)
    (one,) = rig.parked()
    with bus.store.transaction() as t:
        t.parked.add([replace(one, message=replace(one.message, id=f"m-{n}")) for n in range(AT_ONCE)])
    acted = repair.act_on(bus.store, "retry", Chosen(kind="refused"), "eve", "mended")
    assert acted.count == AT_ONCE + 1
    with bus.store.reading() as t:
        replay = t.replays.get(acted.replay)
        assert (replay.total, replay.who, replay.why) == (AT_ONCE + 1, "eve", "mended")


def test_what_somebody_else_took_is_not_counted(rig: Rig):
    """Of two who choose the same, each message is acted on once."""
    bus = parked(rig, 2)
    keys = [row.key for row in rig.parked()]
    assert repair.act_on(bus.store, "discard", keys[:1], "eve", "").count == 1
    assert repair.act_on(bus.store, "retry", keys, "bob", "").count == 1


def test_an_edit_leaves_hidden_what_is_hidden(rig: Rig):
    """Where *** still stands, the value is the one that came; a retry sends it with the rest of the edit."""
    bus = parked(rig, items=[{"pin": 1}, {"pin": 2}])
    (row,) = rig.parked()
    document = json.loads(row.message.body)
    assert (document["card"], document["items"]) == ("***", [{"pin": "***"}, {"pin": "***"}])
    document |= {"number": 7, "items": [{"pin": "***"}, {"pin": 3}], "key": "another"}
    shown = repair.edit(bus.store, bus.parts, row.key, json.dumps(document).encode(), "eve", "")
    assert (json.loads(shown.body)["card"], shown.subject) == ("***", "another")
    with bus.store.transaction() as t:
        found = json.loads(t.parked.original(row.key).body)
    assert found == {"number": 7, "key": "another", "card": CARD, "items": [{"pin": 1}, {"pin": 3}]}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", DecodeError),
        (b'{"number": "x"}', ContractError),
        (b'{"number": 1, "items": [{"pin": "***"}, {"pin": "***"}]}', ContractError),
    ],
)
def test_an_edit_that_cannot_pass_changes_nothing(rig: Rig, body, error):
    """No JSON, a broken contract, or *** where nothing is hidden."""
    bus = parked(rig, items=[{"pin": 1}])
    (row,) = rig.parked()
    with pytest.raises(error):
        repair.edit(bus.store, bus.parts, row.key, body, "eve", "")
    assert rig.parked() == [row]


def test_an_edit_comes_too_late(rig: Rig):
    """Somebody has sent it on meanwhile."""
    bus = parked(rig)
    (row,) = rig.parked()
    rig.retry()
    with pytest.raises(repair.NotParked, match="not parked at out:target any more"):
        repair.edit(bus.store, bus.parts, row.key, row.message.body, "eve", "")
