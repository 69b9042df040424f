"""The supervisor: starts each role as a process, restarts what dies, and stops them all together."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger("esb.supervisor")

READY = "ESB_READY_FD"  # environment variable: where a role says that it is ready
STEADY = 60.0  # seconds after which a role counts as stable again
LONGEST_PAUSE = 30.0  # seconds between restarts of a role that keeps dying
GRACE = 5.0  # seconds beyond the drain time before a role is killed
_PR_SET_PDEATHSIG = 1


class Role:
    """One role's process. ``said`` holds what it reported when it was ready (the web role its address)."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.said: dict[str, Any] = {}
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._started = 0.0
        self._failures = 0
        self._next_start = 0.0

    def start(self) -> None:
        """Start the process; it reports over a pipe, and dies with us."""
        self._pipe, theirs = os.pipe()
        self.said = {}
        environment = {**(self._environment or os.environ), READY: str(theirs)}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter; the supervisor has one thread
            self._command, env=environment, pass_fds=[theirs], preexec_fn=_die_with_parent, start_new_session=True
        )
        os.close(theirs)
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        return bool(self.said)

    def listen(self) -> None:
        """Read what the role reported, without waiting."""
        if self._pipe >= 0 and select.select([self._pipe], [], [], 0)[0]:
            text = os.read(self._pipe, 4096)
            if text:
                self.said = json.loads(text)
            self._hang_up()

    def revive(self) -> None:
        """Start it again if it died, after a pause that grows while it keeps dying."""
        if self.running or time.monotonic() < self._next_start:
            return
        if self._process is not None:
            lived = time.monotonic() - self._started
            self._failures = 0 if lived > STEADY else self._failures + 1
            pause = 0.0 if lived > STEADY else min(0.2 * 2**self._failures, LONGEST_PAUSE)
            log.warning("role died", role=self.name, exit=self._process.returncode, restart_in=round(pause, 1))
            self._process = None
            self._hang_up()
            self._next_start = time.monotonic() + pause
            if pause:
                return
        self.start()

    def signal(self, number: int) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(number)

    def wait(self, limit: float) -> None:
        """Until it has ended; killed after ``limit`` seconds."""
        if self._process is None:
            return
        try:
            self._process.wait(max(limit, 0.1))
        except subprocess.TimeoutExpired:
            log.warning("role did not stop in time", role=self.name)
            self._process.kill()
            self._process.wait()
        self._hang_up()

    def memory(self) -> int:
        """Resident bytes; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def _hang_up(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


class Supervisor:
    """Keeps roles alive until :meth:`stop`, or until it is told by a signal."""

    def __init__(self, roles: Sequence[Role], drain: float, memory: int) -> None:
        """Args: the roles; seconds to let them drain; bytes beyond which a role is restarted."""
        self.roles = list(roles)
        self._drain = drain
        self._memory = memory
        self._stopping = False

    def run(self, on_ready: Callable[[], None], every: Callable[[], None] = lambda: None) -> None:
        """Blocks. ``on_ready`` is called once, when all roles are; ``every`` about three times a second."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, lambda *_: self.stop())
        announced = False
        while not self._stopping:
            self._tend()
            if not announced and all(role.ready for role in self.roles):
                announced = True
                on_ready()
            every()
            time.sleep(0.05 if not announced else 0.3)
        self._shut_down()

    def stop(self) -> None:
        self._stopping = True

    def restart(self) -> None:
        """Let all roles drain and start again, with whatever is on disk now."""
        self._shut_down()
        for role in self.roles:
            role.start()

    def _tend(self) -> None:
        for role in self.roles:
            role.revive()
            role.listen()
            if role.memory() > self._memory:
                log.warning("role takes too much memory and is restarted", role=role.name, bytes=role.memory())
                role.signal(signal.SIGKILL)  # it may not be able to drain; what it held is redelivered

    def _shut_down(self) -> None:
        deadline = time.monotonic() + self._drain + GRACE
        for role in self.roles:
            role.signal(signal.SIGTERM)
        for role in self.roles:
            role.wait(deadline - time.monotonic())


def report_ready(**facts: Any) -> None:
    """Called by a role: tell the supervisor, if there is one."""
    pipe = os.environ.pop(READY, "")
    if pipe:
        os.write(int(pipe), json.dumps({"ready": True, **facts}).encode())
        os.close(int(pipe))


def command_of(*arguments: str) -> list[str]:
    """This program with other arguments."""
    return [sys.executable, "-m", "esb.cli", *arguments]


def _die_with_parent() -> None:
    """Without it, killing the supervisor would leave its roles behind (Linux only; elsewhere a no-op)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        pass
