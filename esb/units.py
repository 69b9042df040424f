"""Durations and sizes as people write them, as field types for settings models: ``5s``, ``8 MB``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


def seconds(value: Any) -> float:
    """``5s``, ``1.5m``, ``24h`` or a plain number of seconds, as seconds."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a duration such as 5s, 10m or 24h is needed")
    if isinstance(value, int | float):
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip())
    if not match:
        raise ValueError("a duration such as 500ms, 5s, 10m, 24h or 7d is needed")
    return float(match[1]) * _UNITS[match[2]]


def octets(value: Any) -> int:
    """``8 MB`` or a plain number of bytes, as bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d+)\s*(B|KB|MB|GB)", value.strip(), re.IGNORECASE) if isinstance(value, str) else None
    if not match:
        raise ValueError("a size such as 512 KB or 8 MB is needed")
    return int(match[1]) * _SIZES[match[2].upper()]


def duration_text(value: float) -> str:
    """The shortest way to write a duration: 300.0 is ``5m``."""
    for unit in ("d", "h", "m", "s"):
        if value >= _UNITS[unit] and value % _UNITS[unit] == 0:
            return f"{int(value / _UNITS[unit])}{unit}"
    return f"{round(value * 1000)}ms" if value < 1 else f"{value:g}s"


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    Field(ge=0),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"}, {"type": "number", "minimum": 0}]}
    ),
]
Size = Annotated[
    int,
    BeforeValidator(octets),
    Field(ge=1),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+\s*([kKmMgG]?[bB])$"}, {"type": "integer", "minimum": 1}]}
    ),
]
