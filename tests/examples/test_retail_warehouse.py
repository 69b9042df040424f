from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from http.client import RemoteDisconnected
from pathlib import Path

import pytest
from standins import WAREHOUSE, exchange, served

from esb.examples.retail.systems import books
from esb.examples.retail.systems.troubles import Outage
from esb.examples.retail.systems.warehouse import Warehouse, handler, written

TOKEN = {"Authorization": "Bearer please"}
Answer = tuple[int, str, dict[str, str]]
Ask = Callable[..., Answer]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.db"


@pytest.fixture
def outage() -> Outage:
    """It never comes by itself; a test may set another."""
    return Outage()


@pytest.fixture
def ask(record: Path, outage: Outage) -> Iterator[Ask]:
    """Asks a warehouse: status, name of the root element, texts by element."""
    with served(handler(Warehouse(record, outage), "please")) as url:

        def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            status, content, _ = exchange(method, url + path, body, named or TOKEN)
            root = ET.fromstring(content)
            texts = {one.tag.removeprefix(WAREHOUSE): one.text or "" for one in root.iter() if one.text}
            return status, root.tag.removeprefix(WAREHOUSE), texts

        yield ask


def order(number: str = "SO-1", article: str = "T-100") -> bytes:
    return written("order", {"orderId": number, "positions": {"position": [{"article": article, "pieces": 2}]}})


def book(ask: Ask, key: str = "k1", body: bytes | None = None, path: str = "/orders") -> Answer:
    return ask("POST", path, body or order(), Idempotency_Key=key, **TOKEN)


def test_a_keyed_repeat_has_one_effect(ask: Ask, record: Path) -> None:
    """The same key again is answered as before, counted as a repeat, and not carried out."""
    first, again = book(ask), book(ask)
    assert first == (201, "booking", {"orderId": "SO-1", "number": "W000001"})
    assert again == (200, *first[1:])
    assert books.recorded(record) == {"order": {"SO-1": {"effects": 1, "repeats": 1}}}


def test_another_key_is_another_effect(ask: Ask, record: Path) -> None:
    """A sender that does not keep its key books an order twice, and the record shows it."""
    book(ask, "k1")
    book(ask, "k2")
    assert books.recorded(record) == {"order": {"SO-1": {"effects": 2, "repeats": 0}}}


def test_operations_have_their_own_keys(ask: Ask, record: Path) -> None:
    """A collection is not the repeat of an order, though their keys be equal."""
    assert book(ask, path="/orders")[0] == book(ask, path="/collections")[0] == 201
    assert books.recorded(record)["collect"] == {"SO-1": {"effects": 1, "repeats": 0}}


def test_a_key_with_another_body_is_refused(ask: Ask, record: Path) -> None:
    """A key names one request; with another body the sender is mistaken."""
    book(ask, "k1", order("SO-1"))
    assert book(ask, "k1", order("SO-2"))[::2] == (
        422,
        {"code": "key-reused", "text": "this Idempotency-Key came with another body before"},
    )
    assert books.recorded(record) == {"order": {"SO-1": {"effects": 1, "repeats": 0}}}


def test_an_article_that_is_gone_is_a_fault(ask: Ask, record: Path) -> None:
    """The fault is XML, of code and text, and nothing was done."""
    status, root, texts = book(ask, body=order(article="T-999"))
    assert (status, root, texts["code"]) == (422, "fault", "unknown-article")
    assert books.recorded(record) == {}


def test_what_is_reserved_is_released_once(ask: Ask, record: Path) -> None:
    """A release can be repeated without harm; where nothing was reserved there is nothing to do."""
    assert book(ask, path="/reservations") == (201, "reserved", {"orderId": "SO-1", "number": "R000001"})
    for order_id in ("SO-1", "SO-1", "SO-2"):
        assert ask("DELETE", f"/reservations/{order_id}", **TOKEN)[:2] == (200, "released")
    assert books.recorded(record)["release"] == {"SO-1": {"effects": 1, "repeats": 1}}


def test_what_cannot_be_booked_is_refused(ask: Ask, record: Path) -> None:
    """No key, no XML, no order number, no token, no such place: each is the sender's fault and has no effect."""
    assert book(ask, key="")[0] == 400
    assert book(ask, body=b"{}")[0] == 400
    assert book(ask, body=written("order", {}))[0] == 400
    assert book(ask, path="/elsewhere")[0] == 404
    assert ask("POST", "/orders", order(), Idempotency_Key="k")[0] == 401
    assert books.recorded(record) == {}


def test_what_is_booked_can_be_asked_for(ask: Ask) -> None:
    """An order number shows its bookings; an unknown one is not found."""
    book(ask)
    assert ask("GET", "/orders/SO-1") == (
        200,
        "bookings",
        {"operation": "order", "orderId": "SO-1", "number": "W000001"},
    )
    assert ask("GET", "/orders/SO-2")[0] == 404
    assert ask("GET", "/health")[0] == 200


@pytest.mark.parametrize("outage", [Outage(after=1, seconds=60)])
def test_the_outage_books_an_order_and_loses_its_answer(ask: Ask, record: Path, outage: Outage) -> None:
    """The worst moment: the effect took place and nobody was told; after that it answers 503."""
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        book(ask)
    assert book(ask)[0] == ask("GET", "/health")[0] == 503
    assert 0 < outage.remaining() <= 60
    assert books.recorded(record) == {"order": {"SO-1": {"effects": 1, "repeats": 0}}}


def test_the_outage_ends() -> None:
    """It begins with the booking asked for, comes once, and is over after its time."""
    now = 100.0
    outage = Outage(after=2, seconds=3.0, clock=lambda: now)
    assert [outage.booked(), outage.remaining()] == [False, 0.0]
    assert [outage.booked(), outage.remaining()] == [True, 3.0]
    now = 103.0
    assert [outage.booked(), outage.remaining()] == [False, 0.0]
