"""What reads requests and runs the loop: httptools and uvloop where they are installed, h11 and asyncio elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

HEAD = 64 * 1024  # bytes of a request's line and headers; more is answered 400


def quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes an event loop, or None for the standard library's."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def quick_protocol() -> Any:
    """uvicorn's protocol over httptools, or the name of that over h11."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "h11"

    class Protocol(HttpToolsProtocol):
        """With a limit to what stands before the body, which httptools lacks."""

        _head: int | None = None  # bytes read of a head that has begun and not ended

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._head is not None and not self.transport.is_closing():
                self._head += len(data)
                if self._head > HEAD:
                    self.send_400_response("The request's head is too long.")

        def on_message_begin(self) -> None:
            self._head = 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._head = None
            super().on_headers_complete()

    return Protocol
