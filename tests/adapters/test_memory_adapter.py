"""The memory adapter, the reference of the suite."""

from __future__ import annotations

from pathlib import Path

from esb.adapters.memory import Box, MemoryAdapter
from esb.ports import Adapter, Request
from esb.testing.adapters import AdapterSuite, World


class MemoryWorld(World):
    """A box."""

    def __init__(self) -> None:
        self.box = Box()

    def adapter(self) -> Adapter:
        return MemoryAdapter("memory", box=self.box)

    def offer(self, content: bytes, name: str) -> None:
        self.box.offer(content, name)

    def waiting(self) -> list[bytes]:
        return [claim.content for claim in self.box.waiting]

    def rejected(self) -> list[tuple[bytes, str]]:
        return [(claim.content, reason) for claim, reason in self.box.rejected]

    def received(self) -> list[bytes]:
        return [request.body for request in self.box.sent]

    def break_it(self) -> None:
        self.box.broken = True

    def mend(self) -> None:
        self.box.broken = False

    def hang(self) -> None:
        self.box.hanging = True

    def refuse(self, request: Request) -> None:
        self.box.refused[request.key] = "out of stock"


class TestMemoryAdapter(AdapterSuite):
    """All scenarios."""

    def make(self, directory: Path) -> World:
        return MemoryWorld()
