"""The files that ``esb init`` writes: a small bus that runs at once and needs no other system."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from esb.errors import EsbError

# Kept under another name here, or it would hide files of this repository from git.
_RENAMED = {"gitignore": ".gitignore"}


def write(directory: Path) -> list[str]:
    """Write a new bus into ``directory``, which is made when missing.

    Returns:
        The names of the files written, relative to the directory, sorted.

    Raises:
        EsbError: one of the files is there already; nothing has been written then.
    """
    with as_file(files(__name__) / "bus") as source:
        found = sorted(path for path in source.rglob("*") if path.is_file())
        places = {
            path: directory / path.relative_to(source).with_name(_RENAMED.get(path.name, path.name)) for path in found
        }
        taken = sorted(str(place) for place in places.values() if place.exists())
        if taken:
            more = f" and {len(taken) - 3} more" if len(taken) > 3 else ""
            raise EsbError(
                f"nothing was written: {', '.join(taken[:3])}{more} would be overwritten; choose another directory"
            )
        for path, place in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return sorted(str(place.relative_to(directory)) for place in places.values())
