"""What reads requests and runs the loop: httptools and uvloop where they are installed, h11 and asyncio elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

HEAD = 64 * 1024  # bytes of a request that are no body: its line, headers and trailers; more is answered 400
FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes an event loop, or None for the standard library's."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Limits(msgspec.Struct, frozen=True):
    """What connections to one listener may take."""

    head: float = 10.0  # seconds in which a request's head must be complete
    connections: int = 1000  # at once; more are told to come again


class Guard(asyncio.Protocol):
    """Mixed into uvicorn's protocols, which wait for a head as long as it takes, and take any number of connections.

    Their own limit of connections is looked at when a head is complete, so it does not count those that send none.
    """

    limits: Limits
    loop: asyncio.AbstractEventLoop
    connections: set[Any]
    transport: Any
    cycle: Any  # the latest request whose head was complete

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self.transport.write(FULL)
            self.transport.close()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """With each piece: whether a head is being waited for.

        What comes between two requests, as the rest of a body that nobody wanted, counts as the beginning of a head:
        uvicorn's own time-out between requests ends with the first byte.
        """
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_more()
        elif self._deadline is None and not self.transport.is_closing():
            self._wait()

    def connection_lost(self, error: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(error)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.limits.head, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self.transport.abort()  # what is still to be written has had its time, too


def plain_protocol(limits: Limits) -> Any:
    """What makes uvicorn's protocol over h11."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Quiet(H11Protocol):
        """Hangs up where there is no place for a 400 any more; uvicorn's fails there, with pages of log."""

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                super().send_400_response(msg)
            else:
                self.transport.close()

    return type("Protocol", (Guard, Quiet), {"limits": limits})


def quick_protocol(limits: Limits) -> Any:
    """What makes uvicorn's protocol over httptools, or that over h11."""
    try:
        from esb.gateway.counted import Counted
    except ImportError:
        return plain_protocol(limits)
    return type("Protocol", (Guard, Counted), {"limits": limits})
