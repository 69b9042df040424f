"""Sends orders over HTTP: as fast as they are answered, or so many a second. Started by the benchmarks.

    python -m bench.load URL MESSAGES CONNECTIONS [RATE]

With a rate, a request has a moment at which it should begin, and its time counts from there, even where no connection
was free: a slow answer must not hide what it holds up. Order numbers are 1, 2, 3 …; the clock is that of all processes
of the machine. Prints one JSON object: when each began, and when it was answered.

By hand, because load generators of Debian neither write a number into each request nor say when each began.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

import msgspec

from bench.order import HEADERS, order

_END = b"\r\n\r\n"


class Caller(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for a request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Enough when the head is there and the body as long as it says."""
        self._buffer += data
        head, found, body = self._buffer.partition(_END)
        if found and len(body) >= _length(head) and self._answer and not self._answer.done():
            self._buffer = b""
            self._answer.set_result(head)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for an answer is told."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server hung up"))

    async def call(self, request: bytes) -> None:
        """Send, and wait for an answer that says yes."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        head = await self._answer
        if not head.startswith(b"HTTP/1.1 2"):
            raise ValueError(f"answered {head.splitlines()[0].decode()}")


class Load:
    """All requests, and the times of each."""

    def __init__(self, url: str, messages: int, rate: float) -> None:
        place = urlsplit(url)
        self._host, self._port, self._path = place.hostname or "", place.port or 80, place.path
        self._numbers = iter(range(messages))
        self._rate = rate
        self.began = [0.0] * messages
        self.ended = [0.0] * messages

    async def run(self, connections: int) -> None:
        """Until all are answered."""
        self._start = time.monotonic() + 0.05
        await asyncio.gather(*(self._caller() for _ in range(connections)))

    async def _caller(self) -> None:
        loop = asyncio.get_running_loop()
        transport, caller = await loop.create_connection(Caller, self._host, self._port)
        for number in self._numbers:
            request = self._request(number)
            self.began[number] = await self._moment(number)
            await caller.call(request)
            self.ended[number] = time.monotonic()
        transport.close()

    async def _moment(self, number: int) -> float:
        """When a request should begin; returns no sooner."""
        if not self._rate:
            return time.monotonic()
        due = self._start + number / self._rate
        if (pause := due - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        return due

    def _request(self, number: int) -> bytes:
        body = order(number + 1)
        lines = [
            f"POST {self._path} HTTP/1.1", f"Host: {self._host}:{self._port}", "Content-Type: application/json",
            f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in HEADERS.items()),
        ]  # fmt: skip
        return "\r\n".join(lines).encode() + _END + body


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def main() -> None:
    """The command line."""
    url, messages, connections, *rate = sys.argv[1:]
    load = Load(url, int(messages), float(rate[0]) if rate else 0.0)
    asyncio.run(load.run(int(connections)))
    print(msgspec.json.encode({"began": load.began, "ended": load.ended}).decode(), flush=True)


if __name__ == "__main__":
    main()
