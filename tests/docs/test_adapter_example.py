"""The adapter that the guide shows passes the suite that every adapter must pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pages import GUIDE, files


def test_adapter_of_the_guide_passes_the_suite(tmp_path: Path) -> None:
    """Both files are taken from the page and run as they stand; what the adapter sends is really tested."""
    shown = files(GUIDE / "writing-an-adapter.md")
    for name in ("printer.py", "test_printer.py"):
        (tmp_path / name).write_text(shown[name], encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "10 passed" in result.stdout, result.stdout
