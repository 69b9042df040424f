"""Names and moves in a file system, made safe."""

from __future__ import annotations

import errno
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


def stay_below(path: Path, directory: Path) -> None:
    """Raise ``OSError`` where a link on the way leads ``path`` out of ``directory``; neither need be there yet.

    Whoever may put files into the directory may put a link there, too, and the bus may write where they may not.
    """
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory)):
        return
    way = [one for one in (*reversed(path.parents), path) if one != directory and one.is_relative_to(directory)]
    link = next((one for one in way if one.is_symlink()), path)
    raise OSError(
        errno.ELOOP,
        f"{shown(link)} is a link that leads out of {shown(directory)}, and links are not followed: remove it, or put "
        "a directory in its place (finished files may go elsewhere: `done: /path`)",
    )


def write_anew(path: Path, text: str) -> None:
    """A file of our own in place of what has the name: nothing is written through a link, a pipe, a second name."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def move(source: Path, target: Path, id: str, below: Path) -> Path:
    """Rename without replacing anything; copies where the target is on another file system.

    Raises ``OSError`` when a link would take the target out of the directory ``below``.
    """
    target = free_name(target, id)
    stay_below(target.parent, below)
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
