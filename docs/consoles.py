"""Fills in what commands say: a ``console`` block whose fence names a bus of ``examples`` is run there.

Each line that begins with ``$ `` is a command; what stands below it is what it says, both streams together.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from esb.cli import main

HERE = Path(__file__).parent
SECRETS = ("payments-token", "store-key", "warehouse-token", "webshop-token")  # that the retail example asks for
_BLOCK = re.compile(r"^```console examples/(?P<bus>\w+)\n(?P<text>.*?)^```$", re.S | re.M)


def pages() -> dict[Path, str]:
    """Each page with such blocks as it must be."""
    found = {page: page.read_text(encoding="utf-8") for page in sorted((HERE / "guide").glob("*.md"))}
    return {page: _BLOCK.sub(_filled, text) for page, text in found.items() if _BLOCK.search(text)}


def write() -> None:
    """Mend the pages on disk."""
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")


def _filled(found: re.Match[str]) -> str:
    with _place(found["bus"]):
        said = [f"{line}\n{_say(line[2:])}" for line in found["text"].splitlines() if line.startswith("$ ")]
    return f"```console examples/{found['bus']}\n{''.join(said)}```"


def _say(command: str) -> str:
    """What a command of ours says."""
    program, *arguments = shlex.split(command)
    assert program == "esb", command
    return CliRunner().invoke(main, arguments, prog_name="esb").output


@contextmanager
def _place(bus: str) -> Iterator[None]:
    """A copy of an example, as the current directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as root:
        place = Path(shutil.copytree(HERE.parent / "examples" / bus, Path(root, bus)))
        (place / "secrets").mkdir(exist_ok=True)
        for name in SECRETS:
            (place / "secrets" / name).write_text("for the documentation")
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)
