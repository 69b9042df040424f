"""A system that the bus delivers to and asks: answers at once, and remembers when what came. Started by the benchmarks.

    python -m bench.system PORT

Told ``count``, it says how many requests have come; told ``report``, as one JSON object, the moments at which they
came, those of each path (``/stock/4711``) and order (``SO-4711``), and how many different Idempotency-Keys there were.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

import msgspec

_ORDER = re.compile(rb'"order":\s?"([^"]+)"')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nidempotency-key:\s*(\S+)", re.IGNORECASE)
_BODY = b'{"left": 7}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class System:
    """What came, and when."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.came: dict[str, float] = {}
        self.keys: set[bytes] = set()

    def take(self, head: bytes, body: bytes) -> None:
        """One request."""
        now = time.monotonic()
        self.arrivals.append(now)
        order = _ORDER.search(body)
        self.came.setdefault(order[1].decode() if order else head.split(b" ", 2)[1].decode(), now)
        key = _KEY.search(head)
        if key:
            self.keys.add(key[1])

    def report(self) -> str:
        """All of it."""
        facts = {"arrivals": self.arrivals, "came": self.came, "keys": len(self.keys)}
        return msgspec.json.encode(facts).decode()


class Connection(asyncio.Protocol):
    """One connection; requests may come in pieces, and several in one."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            size = int(m[1]) if (m := _LENGTH.search(head)) else 0
            if not found or len(rest) < size:
                return
            self._system.take(head, rest[:size])
            self._buffer = rest[size:]
            self._transport.write(_ANSWER)


async def serve(port: int) -> None:
    """Until standard input ends."""
    system, loop = System(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(system), "127.0.0.1", port, backlog=256)
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "count":
            print(len(system.arrivals), flush=True)
        elif line.strip() == "report":
            print(system.report(), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
