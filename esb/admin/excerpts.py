"""The lines of configuration that an error names, as they were when it happened."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

_PLACE = re.compile(r"([A-Za-z0-9_./-]+\.(?:yaml|json|csv)):(\d{1,7})(?!\d)")  # errors may quote what came in
AROUND = 3  # lines before and after the one that is named
MOST = 3


class Excerpt(msgspec.Struct, frozen=True):
    """Some lines of a file: (number, text) each; ``line`` is the one that is meant."""

    file: str
    line: int
    lines: list[tuple[int, str]]


def excerpts(error: str, files: Mapping[str, str]) -> list[Excerpt]:
    """What stands at each ``file:line`` of an error, as far as the file is one of the definition's."""
    found: dict[tuple[str, int], Excerpt] = {}
    for file, number in _PLACE.findall(error):
        line = int(number)
        texts = files.get(file, "").splitlines()
        if 0 < line <= len(texts) and len(found) < MOST:
            first = max(line - AROUND, 1)
            found[file, line] = Excerpt(file, line, list(enumerate(texts[first - 1 : line + AROUND], first)))
    return list(found.values())
