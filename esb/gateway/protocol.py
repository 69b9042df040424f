"""What reads requests and runs the loop: httptools and uvloop where they are installed, h11 and asyncio elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

HEAD = 64 * 1024  # bytes of a request that are no body: its line, headers and trailers; more is answered 400
FRAME = 16  # bytes that each chunk of a body may have around it, beside those
PIECE = 16 * 1024  # bytes that are read at once


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
        """With a limit to what is no body, which httptools lacks: the head, what frames chunks, and trailers."""

        _open = False  # a message has begun and not ended
        _headed = False  # its head is complete; what comes as headers now are trailers
        _rest = 0  # bytes of it that are no body
        _body = 0  # bytes of body in the piece that is being read
        _chunks = 0

        def data_received(self, data: bytes) -> None:
            # In pieces, so that what is counted as a message's is nearly its own where several arrive together.
            for start in range(0, len(data), PIECE):
                if self.transport.is_closing():
                    return
                self._read(data[start : start + PIECE])

        def _read(self, piece: bytes) -> None:
            self._body = 0
            super().data_received(piece)
            if self._open and not self.transport.is_closing():
                self._rest += len(piece) - self._body
                if self._rest > HEAD + FRAME * self._chunks:
                    self.send_400_response("The request's head is too long.")

        def on_message_begin(self) -> None:
            self._open, self._headed = True, False
            self._rest = self._chunks = 0
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            # Nobody asks for trailers, and uvicorn would keep them all.
            if not self._headed:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._headed = True
            super().on_headers_complete()

        def on_chunk_header(self) -> None:
            self._chunks += 1

        def on_body(self, body: bytes) -> None:
            self._body += len(body)
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._open = False
            super().on_message_complete()

    return Protocol
