from __future__ import annotations

from http.client import RemoteDisconnected
from pathlib import Path

import pytest
from standins import ANY_PORT, call

from esb.examples.retail.demo import Systems, start_systems
from esb.examples.retail.systems.warehouse import Outage


def book(systems: Systems, key: str = "k1", order: str = "SO-1", path: str = "/orders", **extra: object) -> tuple:
    token = (systems.workdir / "secrets" / "warehouse-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
    return call("POST", systems.urls["warehouse"] + path, {"orderId": order, **extra}, headers)


def test_a_keyed_repeat_has_one_effect(systems: Systems) -> None:
    """The same key again is answered as before, counted as a repeat, and not carried out."""
    first, again = book(systems), book(systems)
    assert (first[0], again[0]) == (201, 200)
    assert first[1] == again[1] == {"orderId": "SO-1", "booking": "W000001"}
    assert systems.recorded().warehouse["order"] == {"SO-1": {"effects": 1, "repeats": 1}}
    assert systems.recorded().repeats == 1


def test_another_key_is_another_effect(systems: Systems) -> None:
    """A sender that does not keep its key books an order twice, and the record shows it."""
    book(systems, "k1")
    book(systems, "k2")
    assert systems.recorded().warehouse["order"] == {"SO-1": {"effects": 2, "repeats": 0}}


def test_operations_have_their_own_keys(systems: Systems) -> None:
    """A collection is not the repeat of an order, though their keys be equal."""
    assert book(systems, path="/orders")[0] == book(systems, path="/collections")[0] == 201
    assert systems.recorded().warehouse["collect"] == {"SO-1": {"effects": 1, "repeats": 0}}


def test_a_key_with_another_body_is_refused(systems: Systems) -> None:
    """A key names one request; with another body the sender is mistaken."""
    book(systems, "k1", "SO-1")
    assert book(systems, "k1", "SO-2")[0] == 422
    assert systems.recorded().warehouse["order"] == {"SO-1": {"effects": 1, "repeats": 0}}


def test_what_cannot_be_booked_is_refused(systems: Systems) -> None:
    """No key, no order number, no token, no such place: each is the sender's fault and has no effect."""
    url = systems.urls["warehouse"]
    assert book(systems, key="")[0] == 400
    assert book(systems, path="/elsewhere")[0] == 404
    status, _, headers = call("POST", url + "/orders", {"orderId": "SO-1"}, {"Idempotency-Key": "k"})
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert systems.recorded().warehouse["order"] == {}


def test_what_is_booked_can_be_asked_for(systems: Systems) -> None:
    """An order number shows its bookings; an unknown one is not found."""
    book(systems)
    url = systems.urls["warehouse"]
    found = [{"operation": "order", "orderId": "SO-1", "booking": "W000001"}]
    assert call("GET", f"{url}/orders/SO-1")[:2] == (200, found)
    assert call("GET", f"{url}/orders/SO-2")[0] == 404
    assert call("GET", f"{url}/health")[0] == 200


def test_the_outage_books_an_order_and_loses_its_answer(tmp_path: Path) -> None:
    """The worst moment: the effect took place and nobody was told; after that it answers 503 and says for how long."""
    with start_systems(tmp_path / "demo", down_after=1, down_for=60, ports=ANY_PORT) as systems:
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            book(systems)
        status, _, headers = book(systems)
        assert status == call("GET", systems.urls["warehouse"] + "/health")[0] == 503
        assert 0 < int(headers["retry-after"]) <= 60
        assert systems.recorded().warehouse["order"] == {"SO-1": {"effects": 1, "repeats": 0}}


def test_the_outage_ends() -> None:
    """It begins with the booking asked for, comes once, and is over after its time."""
    now = 100.0
    outage = Outage(after=2, seconds=3.0, clock=lambda: now)
    assert [outage.booked(), outage.remaining()] == [False, 0.0]
    assert [outage.booked(), outage.remaining()] == [True, 3.0]
    now = 103.0
    assert [outage.booked(), outage.remaining()] == [False, 0.0]
