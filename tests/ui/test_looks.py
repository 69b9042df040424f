"""Every page, in both looks and two widths: nothing sticks out, the browser has no complaint.

``ESB_SCREENSHOTS=DIR`` makes pictures of them, for a person to look at; that takes most of the time.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, ViewportSize

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDE, NARROW = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
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


def look_at(page: Page, url: str, name: str) -> None:
    """Load a page, and see that nothing sticks out of it in either look at either width."""
    page.goto(url)
    for scheme, size in product(SCHEMES, (WIDE, NARROW)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        picture(page, f"{name}-{scheme}-{size['width']}.png")
        assert page.evaluate(OVERFLOW) <= 0, f"{url} is wider than {size['width']}"


def test_pages_fit(page, site, complaints):
    """No page is wider than its window, in any look."""
    for address in addresses(page):
        look_at(page, site.url + address, address.strip("/").replace("/", "-") or "overview")
    complaints[:] = [said for said in complaints if "/nothing" not in said]  # its 404 was asked for


def test_pages_of_strangers_fit(tab, site):
    """The page where one signs in."""
    look_at(tab(), site.url, "sign-in")
