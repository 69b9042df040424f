"""Every page, in both looks and two widths: nothing sticks out, the browser has no complaint.

``ESB_SCREENSHOTS=DIR`` makes pictures of them, for a person to look at; that takes most of the time.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def addresses(page) -> list[str]:
    """What the navigation leads to, and what stands beside it."""
    links = page.locator("nav.side a").evaluate_all("links => links.map(link => link.pathname)")
    deeper = ["/flows/orders", "/endpoints/archive", "/contracts/order/v1", "/mappings/row-to-order"]
    return [*links, *deeper, "/account", "/nothing"]


def picture(page, name: str) -> None:
    """A picture of the whole page, where somebody wants them."""
    folder = os.environ.get("ESB_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / name, full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_fit(tab, site, signed_in, scheme, size, complaints):
    """No page is wider than its window, in any look."""
    page = tab(storage_state=signed_in, color_scheme=scheme, viewport=size)
    page.goto(site.url)
    for address in addresses(page):
        page.goto(site.url + address)
        picture(page, f"{address.strip('/').replace('/', '-') or 'overview'}-{scheme}-{size['width']}.png")
        assert page.evaluate(OVERFLOW) <= 0, f"{address} is wider than {size['width']}"
    complaints[:] = [said for said in complaints if "/nothing" not in said]  # its 404 was asked for


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_of_strangers_fit(tab, site, scheme, size):
    """The page where one signs in."""
    page = tab(color_scheme=scheme, viewport=size)
    page.goto(site.url)
    picture(page, f"sign-in-{scheme}-{size['width']}.png")
    assert page.evaluate(OVERFLOW) <= 0
