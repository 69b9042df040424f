"""What people set while the bus runs, as one message finds it: detours, routing tables, rates (Control Bus).

A flow stays pure: a worker reads the switches between two batches, and hands them in with each message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from pydantic import TypeAdapter, ValidationError

from esb.units import Duration, duration_text

_RATE = re.compile(r"([1-9][0-9]{0,8}) ?/ ?(\S+)")
_duration = TypeAdapter(Duration)


class Rate(msgspec.Struct, frozen=True):
    """So many messages in so many seconds, at even distances."""

    messages: int
    per: float

    @classmethod
    def read(cls, text: str) -> Rate | None:
        """``10/1s``; None for anything else."""
        found = _RATE.fullmatch(text.strip())
        try:
            per = _duration.validate_python(found[2]) if found else 0.0
        except ValidationError:
            return None
        return cls(int(found[1]), per) if found and per > 0 else None

    @property
    def distance(self) -> float:
        """Seconds between two messages."""
        return self.per / self.messages

    def __str__(self) -> str:
        return f"{self.messages}/{duration_text(self.per)}"


class Switches(msgspec.Struct, frozen=True):
    """What is set. Steps go by ``flow/step``; ``tables`` by name, each with what stands under a key; ``paused`` flows.

    ``past`` is for computing again what was: what steps decided then, by their names. It goes before all else.
    """

    detours: Mapping[str, bool] = {}
    tables: Mapping[str, Mapping[str, str]] = {}
    rates: Mapping[str, Rate] = {}
    paused: frozenset[str] = frozenset()
    past: Mapping[str, tuple[str, ...]] = {}

    def route(self, table: str, key: str) -> str | None:
        """What a table says of a key; None: nothing was set."""
        return self.tables.get(table, {}).get(key)


NOTHING_SET = Switches()
