"""The stand-ins that speak JSON: payments, courier, search and web shop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from standins import call, served

from esb.examples.retail.systems import books, courier, documents, payments, search
from esb.examples.retail.systems.troubles import Hiccup

Serve = Callable[[Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Lets a stand-in listen until the test ends; its address."""
    with ExitStack() as running:
        yield lambda handler: running.enter_context(served(handler))


def charge(url: str, order: str = "WO-1", key: str = "k1", **more: object) -> tuple[int, Any, dict[str, str]]:
    wanted = {"orderId": order, "amount": 20.85, "card": "tok-1", **more}
    return call("POST", f"{url}/charges", wanted, {"Idempotency-Key": f'"{key}"'} if key else {})


def test_a_charge_is_made_once_and_refunded_once(serve: Serve, tmp_path: Path) -> None:
    """Repeats of a key are answered as before; after the refund nothing is due."""
    url = serve(payments.handler(payments.Payments(tmp_path / "p.db")))
    first, again = charge(url), charge(url)
    assert (first[0], again[0], first[1]) == (201, 200, again[1])
    assert call("GET", f"{url}/settlement")[1]["due"] == 20.85
    for status in (201, 200):
        refund = call("POST", f"{url}/refunds", {"orderId": "WO-1"}, {"Idempotency-Key": "r"})
        assert refund[0] == status
    settlement = call("GET", f"{url}/settlement")[1]
    assert (settlement["due"], len(settlement["charges"]), len(settlement["refunds"])) == (0, 1, 1)
    assert books.recorded(tmp_path / "p.db")["refund"] == {"WO-1": {"effects": 1, "repeats": 1}}


def test_what_cannot_be_charged_has_no_effect(serve: Serve, tmp_path: Path) -> None:
    """A declined card, a missing key, another body under a key, a charge that never was, no token."""
    url = serve(payments.handler(payments.Payments(tmp_path / "p.db")))
    assert charge(url, card="tok-declined")[0] == 402
    assert charge(url, key="")[0] == 400
    assert call("POST", f"{url}/charges", {"orderId": "WO-1"}, {"Idempotency-Key": "k"})[0] == 400
    refund = call("POST", f"{url}/refunds", {"orderId": "WO-9"}, {"Idempotency-Key": "k"})
    assert refund[:2] == (200, {"orderId": "WO-9", "amount": 0})
    assert call("POST", f"{url}/elsewhere", {})[0] == 404
    assert books.recorded(tmp_path / "p.db") == {}
    charge(url)
    assert charge(url, amount=1)[0] == 422
    guarded = serve(payments.handler(payments.Payments(tmp_path / "g.db"), "please"))
    assert charge(guarded)[0] == 401


def test_a_slow_card_is_charged_before_the_answer_comes(serve: Serve, tmp_path: Path) -> None:
    """Who gives up waiting does not know; the repeat is answered at once, and there is one charge."""
    url = serve(payments.handler(payments.Payments(tmp_path / "p.db", hold=0.2)))
    began = time.monotonic()
    assert charge(url, card="tok-slow")[0] == 201
    assert time.monotonic() - began >= 0.2
    assert charge(url, card="tok-slow")[0] == 200
    assert books.recorded(tmp_path / "p.db") == {"charge": {"WO-1": {"effects": 1, "repeats": 1}}}


def test_a_busy_provider_does_nothing(serve: Serve, tmp_path: Path) -> None:
    """Each second request is answered 503 and says when to come again."""
    url = serve(payments.handler(payments.Payments(tmp_path / "p.db", busy=Hiccup(2))))
    assert charge(url)[0] == 201
    status, _, headers = charge(url, key="k2")
    assert (status, headers["retry-after"]) == (503, "1")
    assert books.recorded(tmp_path / "p.db") == {"charge": {"WO-1": {"effects": 1, "repeats": 0}}}


@pytest.mark.parametrize("system", ["payments", "courier"])
def test_a_lost_answer_leaves_its_effect(system: str, serve: Serve, tmp_path: Path) -> None:
    """The connection breaks behind the effect; the repeat hears of it."""
    lost, record = Hiccup(1), tmp_path / "r.db"
    doors = {
        "payments": lambda: payments.handler(payments.Payments(record, lost=lost)),
        "courier": lambda: courier.handler(courier.Courier(record, lost=lost)),
    }
    url = serve(doors[system]())
    act = charge if system == "payments" else parcel
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        act(url)
    assert act(url)[0] == 200


def parcel(url: str, order: str = "WO-1", postcode: str = "LS1 4DY", key: str = "k1") -> tuple[int, Any, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    return call("POST", f"{url}/bookings", {"orderId": order, "postcode": postcode}, headers)


def test_a_parcel_is_booked_once(serve: Serve, tmp_path: Path) -> None:
    """The tracking number stays the same, however often it is asked for."""
    url = serve(courier.handler(courier.Courier(tmp_path / "c.db")))
    first, again = parcel(url), parcel(url)
    assert (first[0], again[0], first[1], again[1]) == (
        201,
        200,
        {"orderId": "WO-1", "tracking": "GB00000001"},
        first[1],
    )
    assert call("GET", f"{url}/health")[0] == 200


def test_what_the_courier_cannot_do_is_refused(serve: Serve, tmp_path: Path) -> None:
    """No van to the Hebrides, no key, nothing that can be read, another body under a key, no such place."""
    url = serve(courier.handler(courier.Courier(tmp_path / "c.db")))
    assert parcel(url, postcode="HS1 2AA")[0] == 409
    assert parcel(url, key="")[0] == 400
    assert call("POST", f"{url}/bookings", {}, {"Idempotency-Key": "k"})[0] == 400
    assert call("POST", f"{url}/elsewhere", {})[0] == 404
    assert books.recorded(tmp_path / "c.db") == {}
    parcel(url)
    assert parcel(url, order="WO-2")[0] == 422


def test_a_busy_courier_books_nothing(serve: Serve, tmp_path: Path) -> None:
    """503, and when to come again."""
    url = serve(courier.handler(courier.Courier(tmp_path / "c.db", busy=Hiccup(1))))
    assert parcel(url)[0] == 503


def test_putting_again_replaces(serve: Serve, tmp_path: Path) -> None:
    """A put is idempotent: one document for each path, however often it comes."""
    url = serve(search.handler(documents.Documents(tmp_path / "s.db"))) + "/orders/SO-1"
    assert call("PUT", url, {"customer": "Anke Müller"})[0] == 201
    assert call("PUT", url, {"customer": "Anke Groß"})[0] == 200
    assert call("GET", url)[:2] == (200, {"customer": "Anke Groß"})
    assert documents.recorded(tmp_path / "s.db", "/orders/") == {"SO-1": {"customer": "Anke Groß"}}


def test_an_order_is_found_by_its_words(serve: Serve, tmp_path: Path) -> None:
    """A search gives order numbers, whatever the case of the letters; stock is not among them."""
    url = serve(search.handler(documents.Documents(tmp_path / "s.db")))
    call("PUT", f"{url}/orders/SO-1", {"articles": ["Kettle"]})
    call("PUT", f"{url}/orders/SO-2", {"articles": ["Mug"]})
    call("PUT", f"{url}/stock/W1/kettle", {"title": "Kettle"})
    assert call("GET", f"{url}/orders?q=kettle")[:2] == (200, ["SO-1"])


def test_what_is_not_there_is_not_found(serve: Serve, tmp_path: Path) -> None:
    """An unknown order and an unknown place are both 404, and what is no JSON is refused."""
    url = serve(search.handler(documents.Documents(tmp_path / "s.db")))
    assert call("GET", f"{url}/orders/SO-1")[0] == 404
    assert call("PUT", f"{url}/elsewhere/SO-1", {})[0] == 404
    assert call("PUT", f"{url}/orders/SO-1", None)[0] == 400
