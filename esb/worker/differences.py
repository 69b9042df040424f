"""What a step changed: two documents leaf by leaf, and as lines with the differences marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from esb.quoting import quote

Sort = Literal["added", "removed", "changed", ""]
_ABSENT = object()
_MOST = 5000  # lines of one document


class Change(msgspec.Struct, frozen=True):
    """One leaf that differs. ``before`` and ``after`` are JSON, or "" where there is none."""

    path: str
    sort: Sort
    before: str
    after: str


class Line(msgspec.Struct, frozen=True):
    """One line of a document as people read it. ``sort`` marks a leaf that differs from the other document."""

    depth: int
    text: str
    sort: Sort = ""


def changes(before: Any, after: Any) -> list[Change]:
    """Every leaf that was added, removed or changed, by its path (``lines[2].sku``), in the order of the documents."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    found = []
    for path in {**old, **new}:
        was, now = old.get(path, _ABSENT), new.get(path, _ABSENT)
        if was is _ABSENT or now is _ABSENT or was != now or type(was) is not type(now):
            found.append(Change(path or "document", _sort(was, now), _shown(was), _shown(now)))
    return found


def lines(document: Any, marks: Mapping[str, Sort]) -> list[Line]:
    """A document line by line; ``marks`` says by path which leaves to mark (of :func:`changes`)."""
    found: list[Line] = []
    for line in _lines(document, "", "", 0, "", marks):
        if len(found) == _MOST:
            return [*found, Line(0, f"… and more: only {_MOST} lines are shown")]
        found.append(line)
    return found


def _sort(was: Any, now: Any) -> Sort:
    return "added" if was is _ABSENT else "removed" if now is _ABSENT else "changed"


def _shown(value: Any) -> str:
    return "" if value is _ABSENT else quote(value, 200)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Scalars by path; an empty object or list is a leaf, too."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    else:
        yield path, value


def _lines(value: Any, path: str, name: str, depth: int, end: str, marks: Mapping[str, Sort]) -> Iterator[Line]:
    front = f"{quote(name, 500)}: " if name else ""
    if not (isinstance(value, dict | list) and value):
        yield Line(depth, f"{front}{quote(value, 20_000)}{end}", marks.get(path or "document", ""))
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield Line(depth, f"{front}{opening}")
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for number, (key, item) in enumerate(items, 1):
        inner = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}" if path else str(key)
        comma = "" if number == len(items) else ","
        yield from _lines(item, inner, "" if isinstance(value, list) else str(key), depth + 1, comma, marks)
    yield Line(depth, f"{closing}{end}")
