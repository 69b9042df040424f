"""Puts the files of ``examples/patterns`` into the pages of ``docs/patterns``, so that what is shown is what is tested.

A fenced block whose first line is ``# flows/splitter.yaml`` (JSON names its file on the fence) shows that file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
BUS = HERE.parent / "examples" / "patterns"
_BLOCK = re.compile(r"^```(?:yaml\n# (?P<yaml>[\w./-]+)\n|\w+ (?P<other>[\w./-]+)\n)(?P<text>.*?)^```$", re.S | re.M)


def pages() -> dict[Path, str]:
    """Each page as it must be."""
    return {page: _filled(page.read_text(encoding="utf-8")) for page in sorted((HERE / "patterns").glob("*.md"))}


def names(text: str) -> Iterator[str]:
    """The files that a page shows, or a part of it."""
    return (block["yaml"] or block["other"] for block in _BLOCK.finditer(text))


def write() -> None:
    """Mend the pages on disk."""
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")


def _filled(page: str) -> str:
    return _BLOCK.sub(_block, page)


def _block(found: re.Match[str]) -> str:
    head = found[0][: found.start("text") - found.start()]
    text = (BUS / (found["yaml"] or found["other"])).read_text(encoding="utf-8")
    return f"{head}{text.rstrip()}\n```"
