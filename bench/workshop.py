"""Gets what peers are made of: Debian packages, a compiled relay, virtual environments, Node.js modules.

Everything lies in ``.bench`` beside the source, is made once, and made anew when what it is made from changes. Where
something cannot be had, ``CannotRun`` says what would help; the benchmark goes on without that side.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bench.process import CannotRun, complete

HERE = Path(__file__).parent
PEERS = HERE / "peers"
_SLOWEST = 600.0  # seconds that one step of an installation may take


class Workshop:
    """What is made for the benchmarks, each on its first use."""

    def __init__(self, place: Path, tell: Callable[[str], None]) -> None:
        """Args: the directory to make things in; where progress is told."""
        self._place = place
        self._tell = tell
        self._updated = False

    def relay(self) -> Path:
        """The relay in C, compiled."""
        program, source = self._place / "relay", PEERS / "relay.c"
        header = Path("/usr/include/amqp.h")
        if not header.exists() or not shutil.which("gcc"):
            self.debian("librabbitmq-dev", "gcc", "libc6-dev")

        def compile() -> None:
            self._place.mkdir(parents=True, exist_ok=True)
            complete(["gcc", "-O2", "-Wall", "-o", program, source, "-lrabbitmq"], "compile the relay", _SLOWEST)

        self._once("relay", program, source.read_bytes(), compile)
        return program

    def python(self, name: str) -> Path:
        """The interpreter of a virtual environment with what ``peers/requirements/<name>.txt`` lists."""
        place, wanted = self._place / f"venv-{name}", PEERS / "requirements" / f"{name}.txt"
        python = place / "bin" / "python"

        def install() -> None:
            self._tell(f"installing {name} and what it needs")
            complete([sys.executable, "-m", "venv", "--clear", place], f"make the environment of {name}", _SLOWEST)
            pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            complete([*pip, "--requirement", wanted], f"install {name} with pip", _SLOWEST)

        self._once(place.name, python, wanted.read_bytes(), install)
        return python

    def node(self) -> tuple[str, Path]:
        """Node.js, and the directory of the modules that ``peers/node/package-lock.json`` lists."""
        if not shutil.which("node") or not shutil.which("npm"):
            self.debian("nodejs", "npm")
        place, lock = self._place / "node", PEERS / "node" / "package-lock.json"
        modules = place / "node_modules"

        def install() -> None:
            self._tell("installing modules for Node.js")
            place.mkdir(parents=True, exist_ok=True)
            for file in (lock, lock.with_name("package.json")):
                shutil.copy(file, place)
            options = ["--no-audit", "--no-fund", "--loglevel=error"]
            complete(["npm", "ci", *options, "--prefix", place], "install modules with npm", _SLOWEST)

        self._once("node", modules, lock.read_bytes(), install)
        return shutil.which("node") or "node", modules

    def rabbitmq(self) -> None:
        """Make sure that RabbitMQ is installed."""
        from esb.testing.servers.rabbitmq import programs

        if programs() is None:
            self.debian("rabbitmq-server")

    def postgresql(self) -> None:
        """Make sure that PostgreSQL is installed."""
        from esb.testing.servers.postgresql import programs

        if programs() is None:
            self.debian("postgresql")

    def debian(self, *packages: str) -> None:
        """Install through apt, as root only: nobody is asked for a password in the middle of a benchmark."""
        names = " ".join(packages)
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise CannotRun(f"{names} is missing and only root can install it: apt-get install {names}")
        self._tell(f"installing {names}")
        if not self._updated:
            complete(["apt-get", "update", "-q"], "read the lists of packages", _SLOWEST)
            self._updated = True
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        complete(command, f"install {names}", _SLOWEST, {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"})

    def _once(self, name: str, product: Path, source: bytes, make: Callable[[], None]) -> None:
        """Make it unless it is there, made from the same source."""
        digest = hashlib.sha256(source + sys.version.encode()).hexdigest()
        stamp = self._place / f"{name}.made"
        if product.exists() and stamp.exists() and stamp.read_text() == digest:
            return
        make()
        stamp.write_text(digest)
