"""`esb run` in a directory, as processes that may be killed and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.forks import Fork

PATIENCE = 120.0  # seconds; only a bus that does not work takes so long


class BusProcess:
    """`esb run` in a directory with its roles, or one role of it."""

    def __init__(self, root: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._log = log
        self._environment = environment
        self._process: Fork | None = None

    def start(self, *arguments: str, crash_at: str = "") -> None:
        """With no arguments: everything, under its supervisor."""
        once = str(self._root / f"crashed at {crash_at}") if not arguments else ""
        environment = {**self._environment, "ESB_CRASH_AT": crash_at, "ESB_CRASH_ONCE": once}
        self._process = Fork("run", "-C", self._root, *arguments, log=self._log, env=environment)

    @property
    def pids(self) -> dict[str, int]:
        """By role, and ``supervisor``."""
        if self._process is None or self._process.poll() is not None:
            return {}
        roles = {_name(child): child for child in _children(self._process.pid)}
        return {"supervisor": self._process.pid, **roles}

    def dies_within(self, seconds: float) -> bool:
        """Was it killed (by itself, at a point) in time?"""
        assert self._process is not None
        try:
            return self._process.wait(seconds) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """SIGKILL: the process, and the roles that it started, at once."""
        if self._process is None:
            return
        pids = [self._process.pid, *_children(self._process.pid)]
        for pid in pids:
            send(pid, signal.SIGKILL)
        self._process.wait()
        while any(runs(pid) for pid in pids):
            time.sleep(0.01)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)


def send(pid: int, number: int) -> None:
    """A signal, to whoever is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def runs(pid: int) -> bool:
    """A zombie holds nothing any more; somebody else buries it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _name(pid: int) -> str:
    """What a role calls itself: ``esb bus``."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("esb ")
    return ""
