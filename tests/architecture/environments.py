"""An environment as a user has it: Python, the wheel, the distributions that the wheel asks for, no repository."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Environment:
    """A virtual environment, made without a network: what the wheel requires is linked from the one that runs us."""

    def __init__(self, place: Path, wheel: Path) -> None:
        self._python = place / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        (libraries,) = place.glob("lib/python*/site-packages")
        for entry in {entry for name in required(wheel) for entry in _entries(name)}:
            (libraries / entry.name).symlink_to(entry)
        pip = [sys.executable, "-m", "pip", "--python", str(self._python), "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, str(wheel)], check=True)
        self.variables = {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "HOME": str(place), "LANG": "C.UTF-8"}

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        return subprocess.run(command, cwd=cwd, env=self.variables, capture_output=True, text=True, timeout=120)

    def start(self, *command: str, cwd: Path) -> subprocess.Popen[str]:
        """Start a program of the environment; what it says goes to ``.stderr``."""
        return subprocess.Popen(command, cwd=cwd, env=self.variables, stderr=subprocess.PIPE, text=True)


def required(wheel: Path) -> set[str]:
    """The names of all distributions that a wheel needs, without extras, transitively."""
    (inside,) = (entry for entry in zipfile.Path(wheel).iterdir() if entry.name.endswith(".dist-info"))
    found: set[str] = set()
    new = _needs(PathDistribution(inside))
    while new:
        found |= new
        new = {need for name in new for need in _needs(distribution(name))} - found
    return found


def _needs(found: Distribution) -> set[str]:
    needs = (Requirement(text) for text in found.requires or ())
    return {canonicalize_name(need.name) for need in needs if not need.marker or need.marker.evaluate({"extra": ""})}


def _entries(name: str) -> Iterator[Path]:
    found = distribution(name)
    tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    return (Path(str(found.locate_file(top))) for top in tops)
