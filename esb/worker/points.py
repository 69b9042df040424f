"""Crashes at named points, for fault tests: that nothing is lost is proven by dying where it matters most.

Workers call ``point(name)`` wherever a crash is interesting. Set ``ESB_CRASH_AT="flow: published#7"`` and the process
kills itself (SIGKILL, so nothing is cleaned up) when it comes by that point for the seventh time; ``ESB_CRASH_ONCE``
names a file that is created just before, and if it exists nothing happens any more: one crash, then peace.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

CRASH_AT = "ESB_CRASH_AT"
CRASH_ONCE = "ESB_CRASH_ONCE"

POINTS = (
    "in: published",
    "in: tracked",
    "in: before done",
    "flow: published",
    "flow: tracked",
    "flow: settled",
    "endpoint: started",
    "endpoint: before effect",
    "endpoint: after effect",
    "endpoint: sent",
    "endpoint: recorded",
    "endpoint: replied",
    "endpoint: settled",
    "jobs: handed out",
    "jobs: fired",
    "jobs: timers moved",
    "jobs: group struck",
    "jobs: piece sent on",
    "jobs: done",
)

# A bus without sagas never comes by these.
SAGA_POINTS = (
    "saga: before commit",
    "saga: after commit",
    "saga: before call",
    "saga: after call",
    "saga: before ack",
    "saga: settled",
)


# A bus without stateful steps never comes by these.
LINE_POINTS = ("line: let go",)
GROUP_POINTS = ("group: before commit", "group: after commit", "group: published")

ALL_POINTS = (*POINTS, *SAGA_POINTS, *GROUP_POINTS, *LINE_POINTS)


def point_from_environment() -> Callable[[str], None]:
    """The crasher that the environment asks for, or one that does nothing."""
    name, _, count = os.environ.get(CRASH_AT, "").partition("#")
    once = os.environ.get(CRASH_ONCE, "")
    if not name or (once and Path(once).exists()):
        return pass_by
    return Crasher(name, int(count or 1), once)


def pass_by(name: str) -> None:
    """No crash."""


class Crasher:
    """Kills its own process at the nth visit of a point."""

    def __init__(self, name: str, visit: int, once: str = "") -> None:
        if name not in ALL_POINTS:
            raise ValueError(f"no point {name!r}; there are: {', '.join(ALL_POINTS)}")
        self._name, self._left, self._once = name, visit, once
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                if self._once:
                    Path(self._once).touch()
                os.kill(os.getpid(), signal.SIGKILL)
