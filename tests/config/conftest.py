"""The small shop that tests of the configuration break in one place at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shops import HERE, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A correct bus directory of this test's own."""
    return Shop(Path(shutil.copytree(HERE / "shop", tmp_path / "shop")))
