"""Texts that every database takes."""

from __future__ import annotations

import re

_LONE = re.compile("[\ud800-\udfff]")
_SHAPE = re.compile(
    r"""(?P<quoted>'[^']*'|"[^"]*"|`[^`]*`)"""
    r"|(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)"
    r"|(?P<number>\d+(?:[.,:]\d+)*)"
)


def cut(text: str, limit: int) -> str:
    """``text`` without NUL and lone surrogates (each becomes U+FFFD), at most ``limit`` characters."""
    text = _LONE.sub("\ufffd", text).replace("\0", "\ufffd")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shape(error: str) -> str:
    """What errors of the same cause share: the first line without its quoted values, ids and numbers."""
    line = error.strip().partition("\n")[0][:1000]
    return cut(_SHAPE.sub("…", line), 200)
