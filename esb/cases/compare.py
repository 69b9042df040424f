"""What differs between two documents, said so that a person sees it at once."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from esb.quoting import quote


def whole(expected: Any, actual: Any) -> list[str]:
    """The lines of a unified diff over sorted, indented JSON; empty when the documents are alike."""
    if not list(_differences(expected, actual, "", partial=False)):
        return []
    lines = difflib.unified_diff(_lines(expected), _lines(actual), "expected", "actual", lineterm="", n=2)
    return list(lines)


def partial(expected: Any, actual: Any) -> list[str]:
    """A line for each place where what is expected is not there; further fields of objects do not matter."""
    return list(_differences(expected, actual, "", partial=True))


def _lines(document: Any) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).splitlines()


def _differences(expected: Any, actual: Any, pointer: str, *, partial: bool) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        yield from _objects(expected, actual, pointer, partial)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{pointer or '/'}: expected {len(expected)} elements, got {len(actual)}: {quote(actual)}"
        for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from _differences(one, other, f"{pointer}/{number}", partial=partial)
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"{pointer or '/'}: expected {quote(expected)}, got {quote(actual)}"


def _objects(expected: dict[str, Any], actual: dict[str, Any], pointer: str, partial: bool) -> Iterator[str]:
    for key, value in expected.items():
        below = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if key in actual:
            yield from _differences(value, actual[key], below, partial=partial)
        else:
            yield f"{below}: expected {quote(value)}, got nothing"
    if not partial:
        yield from (f"{pointer}/{key}: not expected" for key in actual if key not in expected)
