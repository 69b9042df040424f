"""Writes ``docs/images/``: runs the demo, signs in and takes pictures. ``make screenshots``.

Each page in the light and the dark look, ``<page>-light.png`` and ``<page>-dark.png``.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1200, "height": 760}
PATIENCE = 180.0  # seconds for the demo's ledger to settle
# Name -> the way to it: a page's address, texts of links of the side bar, or a CSS selector of what to click.
PAGES: dict[str, tuple[str, ...]] = {
    "overview": (),
    "journey": ("/messages?q=WO-1052&at=in:webshop", "main tbody a"),  # no van goes there: charged, and refunded
    "flow": ("Flows", "main a:text-is('sales')"),
    "saga": ("/sagas?key=WO-1052", "main tbody a"),
}


def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(exist_ok=True)
    with demo() as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        state = _signed_in(browser, link)
        for scheme in ("light", "dark"):
            context = browser.new_context(storage_state=state, viewport=SIZE, color_scheme=scheme)
            page = context.new_page()
            for name, way in PAGES.items():
                if _go(page, link, way):
                    page.screenshot(path=IMAGES / f"{name}-{scheme}.png")
            context.close()
        browser.close()


@contextmanager
def demo() -> Iterator[str]:
    """The demo, run until its ledger has settled; the link of its first start."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "said")
        with said.open("wb") as output:
            command = [sys.executable, "-m", "esb.cli", "demo", "--any-port", "--dir", "demo"]
            process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)  # noqa: S603 - our own interpreter
        try:
            deadline = time.monotonic() + PATIENCE
            while "Ctrl-C stops everything" not in said.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the demo did not settle; it said:\n{said.read_text()}")
                time.sleep(0.2)
            found = re.search(r"http\S+/link/\S+", said.read_text())
            assert found, "the demo printed no link"
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _signed_in(browser: Browser, link: str) -> object:
    """The cookies of the first admin."""
    page = browser.new_page()
    page.goto(link)
    page.get_by_label("Name").fill("ada")
    for label in ("Password", "The same again"):
        page.get_by_label(label).fill("four words are enough")
    page.get_by_role("button", name="Create the admin").click()
    page.wait_for_selector("h1:text('Overview')")
    return page.context.storage_state()


def _go(page: Page, link: str, way: tuple[str, ...]) -> bool:
    """Follow a way; False where there is nothing to click."""
    page.goto(link.partition("/link/")[0])
    for step in way:
        if step.startswith("/"):
            page.goto(link.partition("/link/")[0] + step)
            continue
        target = page.locator(step) if " " in step else page.locator("nav.side a", has_text=re.compile(f"^{step}$"))
        if not target.count():
            return False
        target.first.click()
        page.wait_for_load_state()
    return True


if __name__ == "__main__":
    main()
