"""The tour of the README, walked as it stands: commands in two terminals, clicks in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.cli.processes import until
from tests.docs.terminal import Shell, commands

README = Path(__file__).parents[2] / "README.md"
PART = re.compile(r"^```(?P<language>\w*)\n(?P<block>.*?)^```$|^\d+\. (?P<item>.*?)(?=^\d+\. |^$)", re.S | re.M)
ACT = re.compile(
    r"(?P<open>open the link)|(?P<fill>\*\*(?P<label>[^*]+)\*\* with\s+`(?P<text>[^`]+)`)"
    r"|(?P<enter>press \*\*Enter\*\*)|(?P<see>see (?:the )?\*\*(?P<seen>[^*]+)\*\*)"
    r"|(?P<click>(?:click|and then) \*\*(?P<name>[^*]+)\*\*)",
    re.I,
)


def tour() -> Iterator[tuple[str, str]]:
    """(``console``, block) or (``browser``, item), in the order of the page."""
    text = README.read_text(encoding="utf-8")
    text = text[text.index("## A tour") : text.index("## On RabbitMQ")]
    for part in PART.finditer(text):
        if part["item"]:
            yield "browser", " ".join(part["item"].split())
        elif part["language"] == "console":
            yield "console", part["block"]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """The terminals; whatever runs is stopped in the end."""
    shell = Shell(tmp_path)
    yield shell
    shell.stop()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the tour is typed into bash")
def test_tour_works_as_it_stands(shell: Shell, tab: Callable[..., Page], complaints: list[str]) -> None:
    """Every command says what the README shows, and every click leads where it says."""
    page = tab()
    for place, text in tour():
        if place == "console":
            for command in commands(text.replace(":8481", f":{shell.port}")):
                shell.run(command)
        else:
            acts = list(ACT.finditer(text))
            assert acts, text
            for act in acts:
                do(page, act, shell)


def do(page: Page, act: re.Match[str], shell: Shell) -> None:
    """One thing that a reader does, or sees."""
    if act["open"]:
        page.goto(re.findall(r"http\S+/link/\S+", shell.said())[-1])
    elif act["fill"]:
        seen(page.get_by_label(act["label"], exact=False)).fill(act["text"])
    elif act["enter"]:
        page.keyboard.press("Enter")
        page.wait_for_load_state()
    elif act["see"]:
        expect(seen(page.get_by_text(act["seen"]))).to_be_visible()
    else:
        click(page, act["name"])


def click(page: Page, name: str) -> None:
    """A button, a link, or what opens a form, whichever is there first in that order."""
    kinds = (
        page.get_by_role("button", name=name, exact=True),
        page.get_by_role("link", name=name, exact=True),
        page.locator("summary").get_by_text(name, exact=True),
    )
    until(lambda: [kind for kind in kinds if seen(kind).count()], f"{name!r} to click")
    next(seen(kind) for kind in kinds if seen(kind).count()).click()
    page.wait_for_load_state()


def seen(found: Locator) -> Locator:
    """The first that is not hidden."""
    return found.locator("visible=true").first
