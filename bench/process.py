"""Processes that a benchmark starts: each has a time limit, and ends at the latest when the benchmark does."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

_PR_SET_PDEATHSIG = 1
_GRACE = 10.0  # seconds that a process may take to end once it was asked to


class CannotRun(Exception):  # noqa: N818 - named for what happened
    """Something cannot be installed, started or measured here; the text says why, and what would help."""


class Child:
    """A process that is talked to in lines. Use as a context manager; leaving it ends the process."""

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start it. Args: the command; variables beside those of this process; where it works."""
        self.name = Path(command[0]).name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._lines: Queue[str] = Queue()
        try:
            self._process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
                env=os.environ | dict(environment or {}), cwd=cwd, text=True, start_new_session=True,
                preexec_fn=partial(_end_with, os.getpid(), ctypes.CDLL(None)),  # noqa: PLW1509 - nothing there locks
            )  # fmt: skip
        except OSError as error:
            raise CannotRun(f"{self.name} cannot be started: {error}") from error
        self.pid = self._process.pid
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def line(self, limit: float) -> str:
        """The next line that it says. Raises ``CannotRun`` after ``limit`` seconds, or when it ends without one."""
        deadline = time.monotonic() + limit
        while True:
            try:
                return self._lines.get(timeout=0.05)
            except Empty:
                self._require_life()
            if time.monotonic() > deadline:
                raise CannotRun(f"{self.name} took longer than {limit:.0f} s: {self._last_words()}")

    def latest(self) -> str | None:
        """The last line that it has said since the last time, None when there is none; never waits."""
        line = None
        while not self._lines.empty():
            line = self._lines.get()
        if line is None:
            self._require_life()
        return line

    def hang_up(self) -> None:
        """End its standard input."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def say(self, text: str) -> None:
        """A line for its standard input."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()

    def memory(self) -> float:
        """Resident bytes; 0 when it has ended."""
        return resident(self.pid)

    def end(self) -> None:
        """Ask it to end, by the end of its input and SIGTERM, and kill it and its children if it does not."""
        self.hang_up()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _require_life(self) -> None:
        """Raise ``CannotRun`` when it has ended and all that it said was read."""
        if self._process.poll() is not None:
            self._reader.join(_GRACE)  # its last line may still be on its way
            if self._lines.empty():
                raise CannotRun(f"{self.name} ended with {self._process.returncode}: {self._last_words()}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def _last_words(self) -> str:
        with suppress(ValueError):
            self._log.seek(0)
            said = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
            return said[-1].strip() if said else "it said nothing"
        return "it said nothing"


def complete(
    command: Sequence[str | Path], attempt: str, limit: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command to its end. Raises ``CannotRun`` with the last that it said."""
    try:
        done = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit,
            env=os.environ | dict(environment or {}), check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"could not {attempt}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotRun(f"could not {attempt}: {said[-1] if said else f'it ended with {done.returncode}'}")


def resident(pid: int) -> float:
    """Bytes of memory that a process has; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0.0


def processor_time(pid: int) -> float:
    """Seconds of CPU that a process has used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def members(group: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, IndexError, ValueError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                found.append(int(entry.name))
    return found


def _end_with(parent: int, libc: ctypes.CDLL) -> None:
    """In the child: end when the benchmark dies, however it does."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
