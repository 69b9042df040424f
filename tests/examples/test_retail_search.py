from __future__ import annotations

from standins import call

from esb.examples.retail.demo import Systems


def test_putting_again_replaces(systems: Systems) -> None:
    """A put is idempotent: one document for each order number, however often it comes."""
    url = systems.urls["search"] + "/orders/SO-1"
    assert call("PUT", url, {"customer": "Anke Müller"})[0] == 201
    assert call("PUT", url, {"customer": "Anke Groß"})[0] == 200
    assert call("GET", url)[:2] == (200, {"customer": "Anke Groß"})
    assert systems.recorded().search == {"SO-1": 2}


def test_an_order_is_found_by_its_words(systems: Systems) -> None:
    """A search gives order numbers, whatever the case of the letters."""
    base = systems.urls["search"] + "/orders"
    call("PUT", f"{base}/SO-1", {"articles": ["Kettle"]})
    call("PUT", f"{base}/SO-2", {"articles": ["Mug"]})
    assert call("GET", f"{base}?q=kettle")[:2] == (200, ["SO-1"])


def test_what_is_not_there_is_not_found(systems: Systems) -> None:
    """An unknown order and an unknown place are both 404."""
    assert call("GET", systems.urls["search"] + "/orders/SO-1")[0] == 404
    assert call("PUT", systems.urls["search"] + "/elsewhere/SO-1", {})[0] == 404
