"""uvicorn's protocol over httptools, which by itself keeps whatever comes. Imported where httptools is installed."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from esb.gateway.protocol import HEAD

FRAME = 16  # bytes that each chunk of a body may have around it, beside those
PIECE = 16 * 1024  # bytes that are read at once
AHEAD = 64  # requests on one connection that wait for the answer to one before them


class Counted(HttpToolsProtocol):
    """With a limit to what is no body (the head, what frames chunks, trailers), and to requests sent ahead."""

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
        if len(self.pipeline) >= AHEAD:
            raise ValueError("too many requests before the first is answered")  # ends the reading, with 400
        self._headed = True
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on after each answer, and so gets more requests than it gives answers
            self.flow.pause_reading()

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._open = False
        super().on_message_complete()
