"""The command line as real processes, and conditions to wait for."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.forks import Fork

PATIENCE = 60.0  # seconds


def until(condition: Callable[[], Any], what: str = "it") -> Any:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about within {PATIENCE:.0f} s"
        time.sleep(0.02)
    return value


class Esb:
    """One running command; what it says on both streams is collected in a file (or goes to ``log``)."""

    def __init__(self, *arguments: object, env: Mapping[str, str] | None = None, log: str = "") -> None:
        self._log = open(log, "w") if log else tempfile.NamedTemporaryFile(suffix=".log")  # noqa: SIM115
        self.process = Fork(*arguments, log=Path(self._log.name), env=env)

    def __enter__(self) -> Esb:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def said(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, text: str, times: int = 1) -> None:
        """Until it has said something, so many times."""
        try:
            until(lambda: self.said.count(text) >= times, text)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.said}") from None

    def children(self, role: str = "") -> list[int]:
        """The process ids of what it started, or of one role of a bus."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [pid for pid in map(int, text.split()) if not role or _name(pid) == f"esb {role}"]

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while this is read
        return False
