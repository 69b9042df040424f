"""What a benchmark consists of: sides that are measured in turns, and how their readings are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

import msgspec

from bench.figures import Aim, Reading
from bench.workshop import Workshop


class Side(msgspec.Struct, frozen=True):
    """One of those that are compared.

    ``measure`` is given the number of messages. ``share`` changes that number for sides that are much slower or
    faster than the others, so that a run of each takes a comparable time; only where a rate does not depend on it, or
    that side gains by it. ``against`` names the side whose share is printed, where that is not the plan's yardstick.
    """

    name: str
    title: str
    measure: Callable[[int], Reading]
    share: float = 1.0
    against: str | None = None


class Column(msgspec.Struct, frozen=True):
    """A reading as it is shown: its title and its format."""

    key: str
    title: str
    format: str = ",.0f"
    spread: bool = False  # with the lowest and highest of the runs


class Plan(msgspec.Struct):
    """A benchmark, ready to be run.

    ``compare`` is the reading whose ratios are printed: of each side to its yardstick, which ``compared`` names in the
    table, and of ``ours`` to each side.
    ``absent`` says of sides why they cannot be measured.
    """

    sides: list[Side]
    columns: tuple[Column, ...]
    yardstick: str
    ours: str
    compare: str = "rate"
    compared: str = ""
    aims: tuple[Aim, ...] = ()
    absent: dict[str, str] = {}

    def title(self, name: str) -> str:
        """What a side is called in tables."""
        return next((side.title for side in self.sides if side.name == name), name)

    def against(self, side: Side) -> str:
        """The name of a side's yardstick."""
        return side.against or self.yardstick


class Kit(msgspec.Struct):
    """What a benchmark is given: where tools lie, and what was asked for."""

    workshop: Workshop
    tell: Callable[[str], None]
    open: ExitStack  # servers and directories that go when the benchmark has ended
    wanted: tuple[str, ...] = ()  # names of sides; all where it is empty

    def wants(self, name: str) -> bool:
        """Whether a side shall be measured."""
        return not self.wanted or name in self.wanted

    def chosen(self, sides: Iterable[Side]) -> list[Side]:
        """Those that shall be measured."""
        return [side for side in sides if self.wants(side.name)]


class Benchmark(msgspec.Struct, frozen=True):
    """A benchmark by its name. ``messages`` is how many a side of share 1 handles in a run, where nobody says."""

    name: str
    title: str
    make: Callable[[Kit], Plan]
    messages: int
