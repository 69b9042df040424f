"""The bus of `esb demo`: `esb run` on the demo's directory, which can be killed with all its processes and go on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

START = 60.0  # seconds for the bus to come up
STOP = 45.0  # seconds for the bus to finish what is under way: its own drain time and some more


class DemoBus:
    """A context manager; stopped in every case. What it logs is in bus.log of its directory."""

    def __init__(self, place: Path, env: Mapping[str, str]) -> None:
        self.place = place
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DemoBus:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()

    @property
    def ended(self) -> bool:
        """Whether it has stopped by itself."""
        return self._process is None or self._process.poll() is not None

    @property
    def log(self) -> Path:
        """What it said."""
        return self.place / "bus.log"

    def start(self) -> None:
        """Run it."""
        from esb.cli.supervisor import command_of, launch

        with self.log.open("ab") as log:
            self.log.chmod(0o600)  # the link that makes the first admin stands there
            self._process = launch(command_of("run", "-C", str(self.place)), self._env, stderr=log)

    def crash(self) -> None:
        """Kill every process of it with SIGKILL, as a machine does that loses its power, and start it again."""
        assert self._process is not None
        everybody = [self._process.pid, *_descendants(self._process.pid)]
        for pid in everybody:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(map(_lives, everybody)):  # until the last has let go of its ports and locks
            time.sleep(0.01)
        self.start()

    def wait(self) -> None:
        """Until it ends."""
        assert self._process is not None
        self._process.wait()

    def await_ready(self) -> None:
        """Until all its roles run. Raises ``ClickException`` with what it said otherwise."""
        deadline = time.monotonic() + START
        while "is running" not in self.said():
            if self.ended or time.monotonic() > deadline:
                raise click.ClickException(f"the bus did not come up; it said:\n{self.said()[-3000:]}")
            time.sleep(0.1)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def announced(self) -> list[str]:
        """What it said last of its admin interface: where it is, and how the first one gets in."""
        from esb.cli.run import ADMIN_AT, FIRST_AT

        lines = self.said().splitlines()
        last = ([line for line in lines if line.startswith(start)][-1:] for start in (ADMIN_AT, FIRST_AT))
        return [line for found in last for line in found]


def _descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they started. Linux only."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return children + [below for child in children for below in _descendants(child)]


def _lives(pid: int) -> bool:
    """Whether a process still holds anything; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
