"""A system that the bus delivers to and asks: answers at once, and remembers when what came. Started by the benchmarks.

    python -m bench.system PORT [PATH SECONDS]

Told ``count``, it says how many requests have come; told ``report``, as one JSON object, the moments at which they
came, those of each path (``/stock/4711``) and order (``SO-4711``), and how many different Idempotency-Keys there were.
What goes to a path that begins with PATH is answered after so many seconds; it is counted apart, as ``hung``.
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
    """What came, and when. Args: of the paths that hang, how they begin ("": none does), and the seconds that takes."""

    def __init__(self, hanging: str = "", seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.hung = 0
        self._hanging = hanging.encode()
        self.arrivals: list[float] = []
        self.came: dict[str, float] = {}
        self.keys: set[bytes] = set()

    def hangs(self, head: bytes) -> bool:
        """Whether a request is one of those that wait for their answer."""
        found = bool(self._hanging) and head.split(b" ", 2)[1].startswith(self._hanging)
        self.hung += found
        return found

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
        facts = {"arrivals": self.arrivals, "came": self.came, "keys": len(self.keys), "hung": self.hung}
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
            self._buffer = rest[size:]
            if self._system.hangs(head):
                asyncio.get_running_loop().call_later(self._system.seconds, self._transport.write, _ANSWER)
            else:
                self._system.take(head, rest[:size])
                self._transport.write(_ANSWER)


async def serve(port: int, system: System) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(system), "127.0.0.1", port, backlog=256)
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "count":
            print(len(system.arrivals), flush=True)
        elif line.strip() == "report":
            print(system.report(), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), System(*sys.argv[2:3], *map(float, sys.argv[3:4]))))
