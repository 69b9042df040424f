"""Names and moves in a file system, made safe."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from esb.errors import Unreachable

LONGEST_NAME = 255  # bytes; the limit of nearly all file systems
LONGEST_VALUE = 120  # bytes that one field may give to a file name


def file_name_part(value: str) -> str:
    """A value as a part of a file name: what is dangerous there is percent-encoded, so different values stay different.

    Separators, control characters, what Windows shares refuse, ``%`` itself and a leading dot; what is too long is
    cut, with a hash of the whole behind it.
    """
    safe = re.sub(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|%\ud800-\udfff]|\A\.|[. ]\Z', lambda match: _percent(match[0]), value)
    if len(safe.encode()) > LONGEST_VALUE:
        cut = safe.encode()[: LONGEST_VALUE - 17].decode(errors="ignore")
        safe = f"{cut}~{hashlib.sha256(safe.encode()).hexdigest()[:16]}"
    return safe


def may_read(path: Path) -> bool:
    """A file may be read, a directory listed, by this user."""
    mode = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
    return os.access(path, mode, effective_ids=True)


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text that every log and database takes: bytes that are not UTF-8 are shown as ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def unreachable(endpoint: str, what: str, path: Path, error: OSError) -> Unreachable:
    """The error to raise for a failed system call that had no effect."""
    return Unreachable(f"{endpoint}: {what} {shown(path)}: {error.strerror or error}")


def free_name(path: Path, id: str, extra: int = 0) -> Path:
    """``path``, or a name made from it with the claim's id where that is taken or too long."""
    if len(os.fsencode(path.name)) + extra <= LONGEST_NAME and not os.path.lexists(path):
        return path
    room = LONGEST_NAME - extra - len(id) - 1 - len(os.fsencode(path.suffix))
    return path.with_name(f"{os.fsdecode(os.fsencode(path.stem)[:room])}~{id}{path.suffix}")


def move(source: Path, target: Path, id: str) -> Path:
    """Rename without replacing anything; copies where the target is on another file system."""
    target = free_name(target, id)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
    return target


def remove_empty(directory: Path, stop: Path) -> None:
    """Remove a directory and its parents below ``stop``, as far as they are empty."""
    while directory != stop:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
