"""Where the project's code lies."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("esb", "adapters", "examples", "mappings", "migrations")


def modules(*folders: str) -> list[Path]:
    """Every Python file below folders of the repository, sorted."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
