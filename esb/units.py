"""Durations and sizes as people write them, as field types for settings models: ``5s``, ``8 MB``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)"
_PATTERN = r"^\d+(\.\d+)?\s*(ms|s|m|h|d)(\s*\d+(\.\d+)?\s*(ms|s|m|h|d))*$"  # the same for editors
_SIZES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


def seconds(value: Any) -> float:
    """``5s``, ``1.5m``, ``1h 30m`` or a plain number of seconds, as seconds."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a duration such as 5s, 10m or 24h is needed")
    if isinstance(value, int | float):
        return float(value)
    if not re.fullmatch(rf"{_PART}(\s*{_PART})*", value.strip()):
        raise ValueError("a duration such as 500ms, 5s, 10m, 24h or 7d is needed")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value))


def octets(value: Any) -> int:
    """``8 MB`` or a plain number of bytes, as bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d+)\s*(B|KB|MB|GB)", value.strip(), re.IGNORECASE) if isinstance(value, str) else None
    if not match:
        raise ValueError("a size such as 512 KB or 8 MB is needed")
    return int(match[1]) * _SIZES[match[2].upper()]


def duration_text(value: float) -> str:
    """A duration of ``value`` seconds in its largest units: 300.0 is ``5m``, 5400.0 is ``1h 30m``."""
    if value < 1:
        return f"{round(value * 1000)}ms"
    parts, rest = [], value
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _UNITS[unit])
        parts += [f"{int(count)}{unit}"] if count else []
    return " ".join(parts + ([f"{rest:g}s"] if rest else []))


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    Field(ge=0),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _PATTERN}, {"type": "number", "minimum": 0}]}),
]
Size = Annotated[
    int,
    BeforeValidator(octets),
    Field(ge=1),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+\s*([kKmMgG]?[bB])$"}, {"type": "integer", "minimum": 1}]}
    ),
]
