"""Values inside sentences: one way to show a piece of a document in an error, short and on one line."""

from __future__ import annotations

from typing import Any

import msgspec


def quote(value: Any, limit: int = 80) -> str:
    """A value as JSON, cut to ``limit`` characters; what JSON cannot say is shown as Python writes it."""
    if isinstance(value, str | bytes):
        value = value[: limit + 1]
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        text = ascii(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
