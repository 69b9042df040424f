"""The lines of configuration that an error names, as they were when it happened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec
from pydantic import SecretStr

from esb.config import redact

_PLACE = re.compile(r"([A-Za-z0-9_./-]+\.(?:yaml|json)):(\d{1,7})(?!\d)")  # errors may quote what came in
AROUND = 3  # lines before and after the one that is named
MOST = 3
_FOLDERS = ("flows/", "sagas/", "mappings/", "contracts/")  # not esb.yaml and endpoints: how systems are reached


class Excerpt(msgspec.Struct, frozen=True):
    """Some lines of a file: (number, text) each; ``line`` is the one that is meant."""

    file: str
    line: int
    lines: list[tuple[int, str]]


def excerpts(error: str, files: Mapping[str, str], secrets: Iterable[SecretStr] = ()) -> list[Excerpt]:
    """What stands at each ``file:line`` of an error, as far as the file is one that tells what the bus does.

    An error quotes what came in, so a message may have it name any line.

    Args:
        error: the error's text.
        files: of the definition that was in force, by name.
        secrets: hidden where they stand in a line.
    """
    found: dict[tuple[str, int], Excerpt] = {}
    for file, number in _PLACE.findall(error):
        line = int(number)
        texts = files.get(file, "").splitlines() if file.startswith(_FOLDERS) else []
        if 0 < line <= len(texts) and len(found) < MOST:
            first = max(line - AROUND, 1)
            around = [redact(text, secrets) for text in texts[first - 1 : line + AROUND]]
            found[file, line] = Excerpt(file, line, list(enumerate(around, first)))
    return list(found.values())
