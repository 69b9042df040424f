"""py-amqp's transports, reading the socket in large chunks.

The library's own reader calls ``recv`` three times a frame and three frames make a delivery, which is most of what a
message costs. ``Connection.Transport`` is its documented place for another transport; everything else stays.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import unpack_from
from typing import Any

from amqp.exceptions import UnexpectedFrame
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

from esb.broker.rabbitmq.readers import Frame

# More than a TLS record holds (16 KB): so what is decrypted is taken at once, and never waits where no poll sees it.
# With the rest of the chunk before, less than the C library takes from the system anew each time, page by page (see
# esb.worker.life).
_CHUNK = 120 * 1024
_FRAME_END = 0xCE
_LATER = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class _Chunks:
    """A mixin over a py-amqp transport: frames come out of a buffer that is filled a chunk at a time."""

    sock: Any
    connected: bool
    _data: bytes = b""
    _at: int = 0

    def receive(self) -> bool:
        """Take from the socket what it has. False: nothing came within its time-out. Raises ``OSError`` at its end."""
        try:
            chunk = self.sock.recv(_CHUNK)
        except OSError as error:
            if isinstance(error, TimeoutError) or error.errno in _LATER:
                return False
            self.connected = False
            raise
        if not chunk:
            self.connected = False
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
        self._data = self._data[self._at :] + chunk if self._at < len(self._data) else chunk
        self._at = 0
        return True

    def hand_to(self, read: Callable[[bytes, int], int]) -> bool:
        """Let somebody read the buffer, who tells up to where; whether anything was read."""
        before = self._at
        self._at = read(self._data, before)
        return self._at > before

    def next_frame(self) -> Frame | None:
        """The next whole frame of what was received, or None."""
        data, at = self._data, self._at
        if len(data) - at < 8:
            return None
        kind, channel, size = unpack_from(">BHI", data, at)
        end = at + 7 + size
        if end >= len(data):
            return None
        if data[end] != _FRAME_END:
            raise UnexpectedFrame(f"a frame ends with {data[end]:#04x} instead of 0xce")
        self._at = end + 1
        return kind, channel, data[at + 7 : end]

    def read_frame(self, *_: Any) -> Frame:
        """What py-amqp calls while it waits for an answer."""
        while (frame := self.next_frame()) is None:
            if not self.receive():
                raise TimeoutError("the server did not answer in time")
        return frame


class _Tcp(_Chunks, TCPTransport):
    pass


class _Tls(_Chunks, SSLTransport):
    pass


class Connection(pyamqp.Connection):
    """kombu's py-amqp connection over these transports."""

    def Transport(self, host: str, connect_timeout: float, ssl: Any = False, *timeouts: Any, **rest: Any) -> Any:  # noqa: N802
        """py-amqp's hook."""
        rest.update(zip(("read_timeout", "write_timeout"), timeouts, strict=True))
        if ssl:
            return _Tls(host, connect_timeout=connect_timeout, ssl=ssl, **rest)
        return _Tcp(host, connect_timeout=connect_timeout, **rest)


class Transport(pyamqp.Transport):
    """For ``kombu.Connection(transport=…)``."""

    Connection = Connection
