"""What one of several bus processes of a machine does of what they share."""

from __future__ import annotations

from zlib import crc32

import msgspec


class Share(msgspec.Struct, frozen=True):
    """One process: its ``number`` (from 0) among ``count``. Queues are shared by the broker, what has a limit here."""

    number: int = 0
    count: int = 1

    def of(self, name: str, limit: int) -> int:
        """How much of a limit falls to this process: all of them together have exactly ``limit``.

        Who gets one more than others differs by ``name``, so that of many small limits each process has some.
        """
        turn = (self.number - crc32(name.encode())) % self.count
        return limit // self.count + (turn < limit % self.count)
