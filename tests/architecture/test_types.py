"""Types hold across the whole wheel."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.places import ROOT


def check(installed) -> subprocess.CompletedProcess[str]:
    """Run mypy on the installed wheel, with what earlier runs learnt about the libraries."""
    options = ["--config-file", str(ROOT / "setup.cfg"), "--cache-dir", str(ROOT / ".mypy_cache" / "wheel")]
    command = [sys.executable, "-m", "mypy", *options, "esb"]
    return subprocess.run(command, cwd=installed, capture_output=True, text=True)


@pytest.mark.timeout(900)  # half a minute of work, which a busy machine stretches
def test_types_hold(installed):
    """Every function is typed, and every call fits."""
    done = check(installed)
    assert done.returncode == 0, done.stdout + done.stderr
