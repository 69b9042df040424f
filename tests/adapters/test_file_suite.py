"""The file adapter under the shipped suite."""

from __future__ import annotations

from pathlib import Path

from esb.adapters.file import FileAdapter, FileOperation, FileSettings
from esb.ports import Adapter, Request
from esb.testing.adapters import AdapterSuite, World


class FileWorld(World):
    """A directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "box"

    def adapter(self) -> Adapter:
        settings = FileSettings(directory="box", pattern="*.csv", ready="rename")
        return FileAdapter(
            "files", settings, {"deliver": FileOperation(path="out/{message_id}.json")}, root=str(self.directory.parent)
        )

    def offer(self, content: bytes, name: str) -> None:
        self.directory.mkdir(exist_ok=True)
        (self.directory / name).write_bytes(content)

    def waiting(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.directory.glob("*.csv"))]

    def rejected(self) -> list[tuple[bytes, str]]:
        return [
            (path.read_bytes(), path.with_name(path.name + ".reason.txt").read_text())
            for path in (self.directory / ".rejected").glob("*.csv")
        ]

    def received(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.directory / "out").glob("*.json")]

    def break_it(self) -> None:
        self.directory.rename(self.directory.with_name("unmounted"))

    def mend(self) -> None:
        self.directory.with_name("unmounted").rename(self.directory)

    def refuse(self, request: Request) -> None:
        (self.directory / "out").mkdir()
        (self.directory / "out" / f"{request.message_id}.json").write_bytes(b"something else")


class TestFileAdapter(AdapterSuite):
    """All scenarios but a hanging file system, which nothing in a process can end."""

    def make(self, directory: Path) -> World:
        return FileWorld(directory)
