"""A small correct bus directory, to be broken in one place at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parts import components

from esb.config import Checked, Finding, inspect

HERE = Path(__file__).parent
ENVIRON = {"WAREHOUSE_URL": "http://warehouse", "WAREHOUSE_TOKEN": "t0ken-of-the-warehouse"}


class Shop:
    """A copy of ``tests/config/shop`` that a test may edit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = dict(ENVIRON)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that stands in a file exactly once."""
        text = self.read(name)
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (self.root / name).write_text(text.replace(old, new), encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def inspect(self, env: str | None = None) -> Checked:
        return inspect(self.root, components(), env, self.environ)

    def findings(self, env: str | None = None) -> list[Finding]:
        return list(self.inspect(env).findings)

    def only(self, env: str | None = None) -> Finding:
        """The one finding there must be."""
        found = self.findings(env)
        assert len(found) == 1, "\n".join(map(str, found)) or "no finding"
        return found[0]

    def definition(self, env: str | None = None) -> Any:
        checked = self.inspect(env)
        assert checked.definition is not None, "\n".join(map(str, checked.findings))
        return checked.definition


def place(finding: Finding) -> str:
    """``file:line:column kind``, as tests state it."""
    return f"{finding.file}:{finding.line}:{finding.column} {finding.kind}"
