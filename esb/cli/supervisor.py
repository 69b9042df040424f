"""The supervisor: starts each role as a process, restarts what dies, and stops them all together."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import structlog

from esb.cli.common import let_go
from esb.errors import EsbError
from esb.wake import Wake

log = structlog.get_logger("esb.supervisor")

READY = "ESB_READY_FD"  # environment variable: where a role says that it is ready
STEADY = 60.0  # seconds after which a role counts as stable again
LONGEST_PAUSE = 10.0  # seconds between restarts of a role that keeps dying before it is ready
SHORT_PAUSE = 1.0  # the longest for one that had been ready: what ends it then comes from outside, or is one message
GRACE = 5.0  # seconds beyond the drain time before a role is killed
LOOK = 0.5  # seconds between looks at how much memory a role has, and at files that may have changed
IMPATIENT = 2  # times one has to ask before roles are killed
_TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # to stop
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


class Role:
    """One role's process. ``said`` holds what it reported when it was ready (the web role its address)."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        """Args: its name, and what the process does; it ends with that."""
        self.name = name
        self.said: dict[str, Any] = {}
        self._work = work
        self._process: Forked | None = None
        self._pipe = -1
        self._started = 0.0
        self._failures = 0
        self._next_start = 0.0

    def start(self) -> None:
        """Start the process; it reports over a pipe, and ends with us."""
        self._pipe, theirs = os.pipe()
        self.said = {}
        self._process = Forked(self.name, self._work, theirs)
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

    @property
    def news(self) -> Sequence[int]:
        """Descriptors by which it says something."""
        return (self._pipe,) if self._pipe >= 0 else ()

    @property
    def next_look(self) -> float:
        """When it wants to be looked after again, by the monotonic clock: to be started, or for its size."""
        return self._next_start if self._process is None else time.monotonic() + LOOK

    def listen(self) -> None:
        """Read what the role reported, without waiting."""
        if self._pipe >= 0 and select.select([self._pipe], [], [], 0)[0]:
            text = os.read(self._pipe, 4096)
            if text:
                self.said = json.loads(text)
            self._hang_up()

    def revive(self) -> None:
        """Start it again if it died, after a pause that grows while it keeps dying, the more if it never got ready."""
        if self.running or time.monotonic() < self._next_start:
            return
        if self._process is None:
            self.start()
            return
        lived = time.monotonic() - self._started
        self._failures = 0 if lived > STEADY else self._failures + 1
        self.listen()  # it may have been ready for no longer than a moment
        pause = min(pause_after(self._failures), SHORT_PAUSE if self.ready else LONGEST_PAUSE)
        log.warning("role died", role=self.name, ended=_ending(self._process.returncode), restart_in=round(pause, 1))
        self._process = None
        self._hang_up()
        self._next_start = time.monotonic() + pause

    def signal(self, number: int) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(number)

    def end(self) -> None:
        """Forget the process; it is killed when it still runs."""
        if self._process is None:
            return
        if self.running:
            log.warning("role did not stop in time and is killed", role=self.name)
            self._process.kill()
        self._process.wait()
        self._process = None
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


class Forked:
    """A process made by a fork, so that it shares what this one has loaded: memory, and the time it took.

    Fork while there is one thread and nothing is open that must not be shared. It is told to end when this process
    dies, however it dies; Ctrl-C on our terminal does not reach it.
    """

    def __init__(self, name: str, work: Callable[[], object], keep: int) -> None:
        """Args: what the process is called (``ps -o comm``), what it does, the one file it keeps open beside 0 to 2."""
        self.returncode: int | None = None
        parent, libc = os.getpid(), ctypes.CDLL(None)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # the log lies on a full disk
                stream.flush()
        gc.freeze()  # what is loaded stays where it is: the collector would copy it by looking
        # Told to end before it listens by itself, it would do what we do when we are told, and go on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                os._exit(_as_child(name, work, keep, parent, libc, before))
        finally:  # where there can be no more processes, we must not be deaf as well
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""
        if self.returncode is None:
            self._wait(os.WNOHANG)
        return self.returncode

    def wait(self) -> None:
        """Until it has ended."""
        if self.returncode is None:
            self._wait(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _wait(self, options: int) -> None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)


class Supervisor:
    """Keeps roles alive until :meth:`stop`, or until it is told by a signal."""

    def __init__(self, roles: Sequence[Role], drain: float, memory: int) -> None:
        """Args: the roles; seconds to let them drain; bytes beyond which a role is restarted."""
        self.roles = list(roles)
        self._drain = drain
        self._memory = memory
        self._asked = 0
        self._announced = False
        self._news = Wake()

    def run(self, on_ready: Callable[[], None], every: Callable[[], None] = lambda: None) -> None:
        """Blocks. ``on_ready`` is called when all roles are (again after a restart), ``every`` at each look."""
        for number in _TOLD:
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGCHLD, lambda *_: self._news.set())
        while not self._asked:
            self._tend()
            if not self._announced and all(role.ready for role in self.roles):
                self._announced = True
                on_ready()
            every()
            self._wait()
        self._shut_down()

    def stop(self) -> None:
        """Let the roles finish what is under way; asked a second time, do not wait for them."""
        self._asked += 1
        self._news.set()

    def restart(self, roles: Sequence[Role]) -> None:
        """Let all roles drain; then go on with these, which read what is on disk now."""
        self._shut_down()
        self.roles = list(roles)
        self._announced = False

    def _wait(self) -> None:
        """Until a role says something, dies or wants to be looked after."""
        until = min(role.next_look for role in self.roles)
        self._news.wait(until - time.monotonic(), [news for role in self.roles for news in role.news])
        self._news.clear()

    def _tend(self) -> None:
        for role in self.roles:
            if self._asked:
                return
            role.revive()
            role.listen()
            if role.memory() > self._memory:
                log.warning("role takes too much memory and is restarted", role=role.name, bytes=role.memory())
                role.signal(signal.SIGKILL)  # it may not be able to drain; what it held is redelivered

    def _shut_down(self) -> None:
        deadline = time.monotonic() + self._drain + GRACE
        for role in self.roles:
            role.signal(signal.SIGTERM)
        while self._asked < IMPATIENT and time.monotonic() < deadline and any(role.running for role in self.roles):
            time.sleep(0.02)
        for role in self.roles:
            role.end()


def pause_after(failures: int) -> float:
    """Seconds to wait before a role is started again that died so many times in a row: 0, 0.4, 0.8 … 10."""
    return min(0.2 * 2 ** min(failures, 10), LONGEST_PAUSE) if failures else 0.0


def launch(
    command: Sequence[str],
    environment: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    stderr: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """A process that is told to end when this one dies, however it dies; Ctrl-C on our terminal does not reach it.

    Call it from the main thread: Linux takes the end of the thread that started a process for its parent's.
    """
    dying = partial(_end_with, os.getpid(), ctypes.CDLL(None))
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        env=environment,
        pass_fds=pass_fds,
        stderr=stderr,
        preexec_fn=dying,  # noqa: PLW1509 - the supervisor has one thread
        start_new_session=True,
    )


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Holds the directory's lock: a second supervisor beside the first would double every role.

    Raises ``EsbError`` when somebody has it. Where nothing can be written, there is nothing to lock either; the roles
    say so if they need to write.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "run.lock").open("a+")
    except OSError:
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise EsbError(
                f"the bus in {data.parent} runs already (process {lock.read() or 'unknown'}): stop that one first; "
                "`esb run --role bus` adds a process to it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def supervised() -> bool:
    """Whether this process is a role that a supervisor started."""
    return READY in os.environ


def report_ready(**facts: Any) -> None:
    """Called by a role: tell the supervisor, if there is one."""
    pipe = os.environ.pop(READY, "")
    if pipe:
        os.write(int(pipe), json.dumps({"ready": True, **facts}).encode())
        os.close(int(pipe))


def command_of(*arguments: str) -> list[str]:
    """This program with other arguments."""
    return [sys.executable, "-m", "esb.cli", *arguments]


def _as_child(
    name: str, work: Callable[[], object], keep: int, parent: int, libc: ctypes.CDLL, blocked: Collection[int]
) -> int:
    """What a forked process does; its exit code. It must not return into what its parent was doing.

    ``blocked``: the signals that were blocked before it was forked.
    """
    try:
        os.setsid()
        _end_with(parent, libc)
        if hasattr(libc, "prctl"):
            libc.prctl(_PR_SET_NAME, f"esb {name}".encode(), 0, 0, 0)
        for number in (*_TOLD, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        # The lock of the directory among them: it must go when the supervisor goes.
        for file in map(int, os.listdir("/dev/fd")):
            if file > 2 and file != keep:
                with suppress(OSError):  # the one by which we looked
                    os.close(file)
        os.environ[READY] = str(keep)
        work()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        let_go()
    return 0


def _ending(code: int | None) -> str:
    """How a process ended: ``exit code 1``, ``SIGKILL``."""
    if code is None:
        return "unknown"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _end_with(parent: int, libc: ctypes.CDLL) -> None:
    """Without it, killing the supervisor would leave its roles behind. Linux only: elsewhere there is no prctl."""
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died while we were being made
        os._exit(1)
