"""Files that change: looked at again and again, for hot reload and ``--watch``."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

EVERY = 0.5  # seconds between looks; a few dozen stat calls, so no library that watches is needed
FOLDERS = ("endpoints", "flows", "sagas", "mappings", "contracts", "lookups")


class Watch:
    """Knows what files looked like last."""

    def __init__(self, root: Path, files: Callable[[], Iterable[Path]]) -> None:
        """Args: what names start from, and what lists the files."""
        self._root = root
        self._files = files
        self._seen = dict(self._stamps())

    def changed(self) -> list[str]:
        """Names of the files that came, went or changed since the last look."""
        before, self._seen = self._seen, dict(self._stamps())
        return sorted(name for name in self._seen.keys() | before.keys() if self._seen.get(name) != before.get(name))

    def wait(self) -> list[str]:
        """The same, once there are any."""
        while not (changed := self.changed()):
            time.sleep(EVERY)
        return changed

    def _stamps(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for file in self._files():
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            if file.is_file():
                name = file.relative_to(self._root) if file.is_relative_to(self._root) else file
                yield str(name), (status.st_mtime_ns, status.st_size)


def heed_interrupts() -> None:
    """Ctrl-C ends a command that watches; a shell that starts it in the background has SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def of_a_bus(root: Path) -> Iterator[Path]:
    """The files that a bus is loaded from."""
    yield from root.glob("esb*.yaml")
    for name in FOLDERS:
        yield from (root / name).rglob("*")


def of_its_cases(root: Path) -> Iterator[Path]:
    """Those, and what test cases read beside them."""
    yield from of_a_bus(root)
    yield from root.rglob("*.test.yaml")
    yield from (root / "samples").rglob("*")


def summary(changed: list[str]) -> str:
    """The first three of them."""
    return ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
