"""The command line as processes of their own: forks of one that has loaded it, for loading takes a second each time.

What a fork runs is what ``python -m esb.cli`` runs. That it can be started as such is shown by the tests of the wheel
and of the documentation, which start it from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.loaded"])


class Fork:
    """One command that runs, in the way of ``subprocess.Popen``; what it says on both streams goes into a file."""

    def __init__(self, *arguments: object, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Args: of the command line; where to append what it says; variables beside those of this process."""
        self._args = [str(argument) for argument in arguments]
        log.touch()
        environment = {**os.environ, **(env or {})}
        # Daemonic: it is ended with the tests, even by a test that forgets it.
        self._process = _CONTEXT.Process(target=_run, args=(self._args, str(log), environment), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the signal that ended it below zero; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended. Raises ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._args, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], log: str, environment: Mapping[str, str]) -> None:
    """In the process forked."""
    from esb.cli import main

    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    main(arguments, prog_name="esb")
