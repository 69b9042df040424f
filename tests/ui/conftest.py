"""A running bus with its admin interface, and a real browser before it.

``page`` is a tab of somebody who is signed in as admin; ``site`` has the addresses. What the browser complains of
(console errors, among them violations of the content security policy) fails the test that caused it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from esb.cli.scaffold import write
from tests.cli.processes import Esb, until
from tests.conftest import missing

CHROMIUM = "/usr/bin/chromium"
NAME, PASSWORD = "ada", "four words are enough"
PATIENCE = 30_000  # milliseconds until something must be seen: a machine under load is slow, not wrong

expect.set_options(timeout=PATIENCE)


class Site(NamedTuple):
    """The admin interface of a running bus: its address, the link of its first start, and the bus's directory."""

    url: str
    link: str
    place: Path


def run_bus(place: Path, *options: str, port: int = 0) -> tuple[Esb, Site]:
    """`esb run` on a directory, up and serving."""
    bus = Esb("run", "-C", place, *options, env={"ESB_ADMIN_PORT": str(port)})
    bus.wait_for("admin interface: ")
    bus.wait_for("/link/")
    return bus, Site(
        re.search(r"admin interface: (\S+)", bus.said)[1], re.search(r"http\S+/link/\S+", bus.said)[0], place
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bus that has worked off its sample: two orders delivered, one row filtered, one parked."""
    place = tmp_path_factory.mktemp("ui") / "shop"
    write(place)
    bus, found = run_bus(place)
    with bus:
        shutil.copy(place / "samples" / "orders.csv", place / "inbox" / "orders.csv")
        until(lambda: len(list(place.glob("archive/*/*.json"))) == 2 and len(list(place.glob("outbox/*.json"))) == 2)
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not Path(CHROMIUM).exists():
        missing(f"{CHROMIUM} is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(chromium: Browser, site: Site) -> Any:
    """The cookies of the first admin, made by the link of the first start."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(site.link)
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Create the admin").click()
    page.wait_for_url(f"{site.url}/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browser complained of during the test; must be nothing."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def tab(chromium: Browser, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Open a tab of its own, with any of playwright's options for a context."""
    contexts: list[BrowserContext] = []

    def open_tab(**options: Any) -> Page:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        return page

    yield open_tab
    for context in contexts:
        context.close()


@pytest.fixture
def page(tab: Callable[..., Page], site: Site, signed_in: Any) -> Page:
    """A tab of the admin, at the overview."""
    page = tab(storage_state=signed_in)
    page.goto(site.url)
    return page
