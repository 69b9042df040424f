"""What a figure was measured on, and whether anybody else used the machine meanwhile."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

BUSY = 0.1  # share of the CPU that others may use before figures count as those of a busy machine
STOLEN = 0.02  # and that a hypervisor may give to other machines during a run before it is run again
_STEAL = 7  # where it stands among the counters


def machine() -> dict[str, object]:
    """Processor, memory, system, and the versions of what takes part; nothing that names the machine or its owner."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "system": f"{_release()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "rabbitmq": _debian("rabbitmq-server"),
        "erlang": _debian("erlang-base"),
        "postgresql": _debian("postgresql"),
        "librabbitmq": _debian("librabbitmq-dev"),
        "node": _said("node", "--version").removeprefix("v"),
    }


def others(seconds: float = 2.0) -> float:
    """The share of all CPU that is in use while we only wait, from 0 to 1; steal by other machines counts."""
    busy, total = _ticks()
    time.sleep(seconds)
    more_busy, more_total = _ticks()
    return (more_busy - busy) / max(more_total - total, 1)


def watch_steal() -> Callable[[], float]:
    """Begin to watch; the answer tells the share of all CPU, from 0 to 1, that other machines were given since.

    A virtual machine cannot see who takes it, nor prevent it; where nothing is virtual it is always 0.
    """
    before = _counters()

    def stolen() -> float:
        passed = [now - then for now, then in zip(_counters(), before, strict=True)]
        return passed[_STEAL] / max(sum(passed), 1)

    return stolen


def _ticks() -> tuple[int, int]:
    """(used or stolen, all) since the start of the machine."""
    fields = _counters()
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _counters() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _release() -> str:
    found = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    return found[1] if found else platform.system()


def _debian(package: str) -> str:
    return _said("dpkg-query", "--show", "--showformat=${Version}", package)


def _said(*command: str) -> str:
    """What a program says of itself; nothing where there is none."""
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
