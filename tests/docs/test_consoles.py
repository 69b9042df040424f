"""What the guide shows of commands that explain is what they say."""

from __future__ import annotations

from pathlib import Path

import consoles
import pytest
from pages import GUIDE


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    """The pages as the commands give them now."""
    return consoles.pages()


def test_what_commands_say_is_what_is_shown(made: dict[Path, str]) -> None:
    """A change of their output without `python docs/generate.py` is noticed."""
    for page, text in made.items():
        assert page.read_text(encoding="utf-8") == text, "run: python docs/generate.py"


@pytest.mark.parametrize("command", ["esb explain", "esb map"])
def test_commands_that_explain_are_shown(made: dict[Path, str], command: str) -> None:
    """With the place of a rule or step in its file."""
    text = made[GUIDE / "explain.md"]
    shown = text.partition(f"$ {command} ")[2].partition("```")[0]
    assert ".yaml:" in shown
