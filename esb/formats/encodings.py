"""Character sets by name, as settings use them."""

from __future__ import annotations


def known(encoding: str) -> str:
    """The name itself; raises ``ValueError`` unless Python has a text codec of that name."""
    try:
        "a".encode(encoding)
    except LookupError as error:
        raise ValueError(f"there is no character set {encoding}; utf-8, cp1252 and latin-1 are usual") from error
    return encoding


def spans_bytes(encoding: str) -> bool:
    """Whether an end of line takes more than its one ASCII byte (UTF-16, UTF-32)."""
    return len("\n\n".encode(encoding)) - len("\n".encode(encoding)) != 1


def bare(encoding: str) -> str:
    """The same character set written without a byte-order mark in front."""
    if not "".encode(encoding):
        return encoding
    return "utf-8" if not spans_bytes(encoding) else f"{encoding}-le"
