"""How a bus directory of a test says where its servers are: their URLs have passwords, which no file of it may."""

from __future__ import annotations

from pathlib import Path


def references(root: Path, broker: str = "embedded", database: str = "embedded") -> dict[str, str]:
    """What stands in ``esb.yaml`` for each: ``embedded``, or in which file beside it the URL lies."""
    return {name: _reference(root, name, url) for name, url in (("broker", broker), ("database", database))}


def _reference(root: Path, name: str, url: str) -> str:
    if url == "embedded":
        return url
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{name}.url").write_text(url)
    return f"secret:file:{name}.url"
