"""Mappings as files: the model, and where each leaf stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from esb.config.definition import LoadedMapping
from esb.config.findings import Report, nearest
from esb.config.models import Mapping
from esb.config.tree import Map, Seq, Spot, root
from esb.config.validate import build


def load_mapping(document: Map, lookups: list[str], report: Report) -> LoadedMapping | None:
    """One mapping, or None when it has findings.

    Args:
        document: as read from YAML.
        lookups: the files there are.
        report: takes the findings.
    """
    before = len(report.findings)
    spot = root(document, document.place.file)
    model = build(Mapping, document, spot, report)
    for name, file in _items(document.get("lookups")):
        if isinstance(file, str) and file not in lookups:
            text = f"There is no lookup file {file!r}; lookups lie in lookups/*.csv."
            report.at(spot.at("lookups", name), "unknown-lookup", text, hint=nearest(file, lookups))
    if model is None or any(f.level == "error" for f in report.findings[before:]):
        return None
    return LoadedMapping(
        name=model.mapping,
        source=model.source,
        target=model.target,
        lookups=dict(model.lookups),
        set=plain(model.set),
        file=document.place.file,
        lines=dict(_lines(spot.at("set"), ())),
    )


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Map) else []


def _lines(spot: Spot, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    value = spot.value
    keys: Any = value if isinstance(value, Map) else range(len(value)) if isinstance(value, Seq) else ()
    for key in keys:
        below = spot.at(key)
        yield (*path, key), below.key_at.line
        yield from _lines(below, (*path, key))


def plain(value: Any) -> Any:
    """The same values as ordinary dicts and lists, without places."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
