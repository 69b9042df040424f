"""Two terminals for the commands that a page shows, and what must come of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from esb.testing.servers import free_port

PATIENCE = 60.0  # seconds until what is shown must have come
LOOKS = ("esb messages", "esb failed list", "esb failed show", "esb trace", "esb ledger", "ls ")  # may be typed again


class Command(msgspec.Struct):
    """One command of a console block, and the lines shown below it."""

    text: str
    shown: list[str]


def commands(text: str) -> list[Command]:
    """Every command of a console block, in order."""
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        else:
            found[-1].shown.append(line)
    return found


def missing(shown: list[str], output: str) -> list[str]:
    """The shown lines that did not come; `…` stands for anything, and so does any run of spaces."""
    lines = output.splitlines()
    lost = []
    for line in (line for line in shown if line.strip(" …")):
        words = [re.escape(word).replace("…", ".*") for word in line.split()]
        found = next((one for one in lines if re.fullmatch(r"\s*" + r"\s*".join(words) + r"\s*", one)), None)
        if found is None:
            lost.append(line)
        else:
            lines.remove(found)
    return lost


class Shell:
    """Two terminals in an empty directory: one where the bus runs, one where the rest is typed."""

    def __init__(self, place: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ESB_")}
        self.port = free_port()  # of the admin interface, the same again after a reload
        clean["ESB_ADMIN_PORT"] = str(self.port)
        self.environment = clean | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.place = place
        self.log = place / "first-terminal.log"
        self.bus: subprocess.Popen[bytes] | None = None

    def start(self, text: str) -> None:
        """A command that goes on: in the first terminal."""
        with self.log.open("wb") as log:
            self.bus = subprocess.Popen(
                ["bash", "-c", text],
                cwd=self.place,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def type(self, text: str) -> str:
        """A command in the second terminal; what it says."""
        if text.startswith("cd "):
            self.place = self.place / text[3:]
            return ""
        result = subprocess.run(
            ["bash", "-c", text],
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return result.stdout

    def said(self) -> str:
        """Everything in the first terminal so far."""
        return self.log.read_text(encoding="utf-8")

    def stop(self) -> None:
        """Ctrl-C in the first terminal."""
        if self.bus:
            os.killpg(self.bus.pid, 2)
            self.bus.wait(PATIENCE)

    def run(self, command: Command) -> None:
        """Type a command where it belongs, and see that it says what is shown."""
        if "esb run" in command.text:
            self.start(command.text)
            wait_for(command.shown, self.said)
        elif command.text.startswith(LOOKS):
            wait_for(command.shown, lambda: self.type(command.text))
        else:
            if "retry" in command.text:  # the page says to look whether the first terminal has reloaded
                wait_for(["… changed: reloading"], self.said)
            assert missing(command.shown, said := self.type(command.text)) == [], said


def wait_for(shown: list[str], look: Callable[[], str]) -> None:
    """Until every shown line has come."""
    deadline = time.monotonic() + PATIENCE
    while (lost := missing(shown, output := look())) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not lost, f"not shown: {lost}\nbut:\n{output}"
