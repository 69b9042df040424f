"""An operator's way through the pages: an order is stuck, its cause is mended on disk, it is sent on and arrives."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import expect

from esb.cli.scaffold import write
from esb.testing.servers import free_port
from tests.cli.processes import Esb, until
from tests.ui.conftest import NAME, PASSWORD, run_bus

GOOD, BAD = "'\"O-\" & number'", "'\"P-\" & number'"


@pytest.fixture
def broken(tmp_path):
    """A running bus, `esb run --dev`, whose mapping makes numbers that the contract refuses."""
    place = tmp_path / "shop"
    write(place)
    mapping = place / "mappings" / "row-to-order.yaml"
    mapping.write_text(mapping.read_text().replace(GOOD, BAD))
    bus, site = run_bus(place, "--dev", port=free_port())  # the same again after the reload
    with bus:
        shutil.copy(place / "samples" / "orders.csv", place / "inbox" / "orders.csv")
        yield bus, site


def sign_in(page, site) -> None:
    """By the link of the first start."""
    page.goto(site.link)
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Create the admin").click()
    page.wait_for_url(f"{site.url}/")


def mend(bus: Esb, place) -> None:
    """On disk, as somebody with an editor does; the bus takes it up."""
    mapping = place / "mappings" / "row-to-order.yaml"
    started = bus.said.count("admin interface: ")
    mapping.write_text(mapping.read_text().replace(BAD, GOOD))
    bus.wait_for("mappings/row-to-order.yaml changed: reloading")
    bus.wait_for("admin interface: ", times=started + 1)


def test_an_order_is_found_understood_mended_and_delivered(broken, tab, tmp_path, complaints):
    """Signed in, found by its number, the reason read, the mapping mended on disk, retried, delivered."""
    bus, site = broken
    page = tab()
    sign_in(page, site)
    until(lambda: _parked(page, site), "the order is parked")
    page.get_by_role("searchbox", name="Find a message").fill("1001")
    page.keyboard.press("Enter")
    page.get_by_role("row", name="parked").get_by_role("link", name="1001").click()
    expect(page.get_by_text("/orderId").first).to_be_visible()
    page.get_by_role("link", name="Repair").click()
    expect(page.get_by_text("mappings/row-to-order.yaml").first).to_be_visible()

    mend(bus, site.place)
    until(lambda: page.reload() and page.get_by_text("Retry", exact=True).first.is_visible(), "the pages are back")
    page.get_by_text("Retry", exact=True).first.click()
    form = page.locator("details.act[open] form")
    form.get_by_label("Reason").fill("the mapping is mended")
    form.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 message sent on again.")).to_be_visible()
    until((site.place / "outbox" / "O-1001.json").exists, "it is delivered")
    expect(page.locator("#tree").get_by_text("out:orders-out.order")).to_be_visible()
    expect(page.locator("#tree li.hop", has_text="out:orders-out").get_by_text("completed")).to_be_visible()
    complaints[:] = [said for said in complaints if "ERR_CONNECTION_REFUSED" not in said]  # while the roles restart


def _parked(page, site) -> bool:
    page.goto(f"{site.url}/messages?q=1001&status=parked")
    return page.get_by_role("link", name="1001").count() > 0
