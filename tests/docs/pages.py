"""Reads Markdown pages: their fenced blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDE = DOCS / "guide"
_FENCE = re.compile(r"^```(\w*) *([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(msgspec.Struct, frozen=True):
    """A fenced block: its language, what else stands on the fence, its text and the line it begins at."""

    language: str
    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2].strip(), m[3], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]


def files(page: Path) -> dict[str, str]:
    """The files that a page shows, by name: YAML and Python name theirs in the first line, other kinds on the fence."""
    found: dict[str, str] = {}
    for block in blocks(page):
        first = re.match(r"# ([\w./-]+\.(?:yaml|py))\n", block.text)
        name = first[1] if first else block.info
        if name:
            found[name] = found.get(name, "") + ("---\n" if name in found else "") + block.text
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def headings(page: Path) -> list[str]:
    """The text of every heading."""
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


def anchor(heading: str) -> str:
    """What a heading is called in links, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> Iterator[str]:
    """Targets of the links within the documentation."""
    return (target for target in _LINK.findall(prose(page)) if "://" not in target)


def all_pages() -> list[Path]:
    """Every page of the documentation, the README and its siblings too."""
    return [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
