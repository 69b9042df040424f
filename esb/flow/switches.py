"""What people set while the bus runs, as one message finds it: detours and routing tables (Control Bus).

A flow stays pure: a worker reads the switches between two batches, and hands them in with each message.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Switches(msgspec.Struct, frozen=True):
    """What is set. ``detours`` by ``flow/step``; ``tables`` by name, each with what stands under a key.

    ``past`` is for computing again what was: what steps decided then, by their names. It goes before all else.
    """

    detours: Mapping[str, bool] = {}
    tables: Mapping[str, Mapping[str, str]] = {}
    past: Mapping[str, tuple[str, ...]] = {}

    def route(self, table: str, key: str) -> str | None:
        """What a table says of a key; None: nothing was set."""
        return self.tables.get(table, {}).get(key)


NOTHING_SET = Switches()
