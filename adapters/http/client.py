"""One exchange over HTTP that ends in time, and knows whether anything was sent.

urllib3 bounds each wait on the socket, so a server that sends a byte now and then holds a call for ever; and its
exceptions do not tell whether the request had left. Both are settled at the socket, in the connection class.
"""

from __future__ import annotations

import http.client
import io
import ssl
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from esb.errors import Interrupted, Unreachable

_NEARLY = 0.02  # seconds by which a wait may end late
_PIECE = 64 * 1024  # bytes that are worth a copy to go out at once
IDLE = 256  # most connections kept open for the next call; an endpoint has at most so many calls at once


class Answer(msgspec.Struct, frozen=True):
    """What came back. ``complete`` False: there is more of the body than was asked for, or it broke off."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


class Exchange(threading.local):
    """The call that this thread is in: when it must end (monotonic), and whether a byte of it has been sent."""

    deadline: float = 0.0
    silence: float | None = None  # longest wait for a single piece of the answer, seconds
    sent: bool = False

    def begin(self, timeout: float, silence: float | None) -> None:
        """A call of at most ``timeout`` seconds starts."""
        self.deadline = time.monotonic() + timeout
        self.silence = silence
        self.sent = False

    def left(self) -> float:
        """Seconds that remain. Raises ``TimeoutError`` when none do."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def wait(self) -> float:
        """Seconds to wait for the next piece of the answer. Raises as :meth:`left`."""
        return self.left() if self.silence is None else min(self.left(), self.silence)


class Client:
    """Calls one host. One pool, because an endpoint is one host and redirects are not followed. Threads share it."""

    def __init__(
        self, host: urllib3.util.Url, connect_timeout: float, read_timeout: float | None, tls: ssl.SSLContext | None
    ) -> None:
        """Args: where to; seconds for a connection to come about, and for each wait for a piece of an answer (None:
        only the whole call has a limit); how to encrypt."""
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._exchange = Exchange()
        options: dict[str, Any] = {"maxsize": IDLE, "block": False, "retries": False, "exchange": self._exchange}
        self._pool: urllib3.HTTPConnectionPool
        if tls:
            self._pool = _HttpsPool(host.host or "", host.port, ssl_context=tls, **_verification(tls), **options)
        else:
            self._pool = _HttpPool(host.host or "", host.port, **options)

    def call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout: float, limit: int
    ) -> Answer:
        """One request and its answer, of at most ``limit`` bytes, within ``timeout`` seconds.

        Raises ``Unreachable`` when nothing was sent, ``Interrupted`` when it was and no status came back.
        """
        self._exchange.begin(timeout, self._read_timeout)
        wait = urllib3.Timeout(connect=min(self._connect_timeout, timeout), total=timeout)
        try:
            response = self._pool.urlopen(
                method, target, body, headers, redirect=False, timeout=wait, preload_content=False
            )
        except (HTTPError, OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        return _read(response, limit)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _failed(self, error: Exception) -> Exception:
        if self._exchange.sent:
            return Interrupted(f"sent, and no answer came: {_reason(error)}")
        return Unreachable(f"no connection: {_reason(error)}")


def _verification(tls: ssl.SSLContext) -> dict[str, Any]:
    return {"cert_reqs": tls.verify_mode, "assert_hostname": None if tls.check_hostname else False}


def _read(response: urllib3.BaseHTTPResponse, limit: int) -> Answer:
    """The answer with its body. A status that has come is known, whatever happens to the body."""
    body, complete = b"", False
    try:
        body = response.read(limit + 1, decode_content=True)
        complete = len(body) <= limit
    except (HTTPError, OSError, http.client.HTTPException):
        pass
    if complete:
        response.release_conn()
    else:
        response.close()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, body[:limit], complete)


def _reason(error: BaseException) -> str:
    """What the system said, without the driver's wrapping (which shows objects and addresses)."""
    while True:
        inner = error.__cause__ or error.__context__ or next((a for a in error.args if isinstance(a, Exception)), None)
        if inner is None or inner is error:
            return str(getattr(error, "strerror", None) or error) or type(error).__name__
        error = inner


# --- the socket, with a deadline ----------------------------------------------------------------------------------


class _Timed(io.RawIOBase):
    """Reads from a socket, each time with what remains of the call's time."""

    def __init__(self, raw: Any, sock: Any, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._sock, self._exchange.wait())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, exchange: Exchange, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, exchange))


def _limit(sock: Any, seconds: float) -> None:
    """How long the socket may wait. Each change is a call to the kernel, for which others get the interpreter."""
    if not seconds <= (sock.gettimeout() or 0.0) <= seconds + _NEARLY:
        sock.settimeout(seconds)


class _Bounded:
    """Mixed into urllib3's connections: sending, too, has only what remains; and it is noted.

    The head of a request and a small body go out together, and wake the other side once; the library sends them apart.
    """

    sock: Any
    response_class: Any

    def __init__(self, *args: Any, exchange: Exchange, **options: Any) -> None:
        super().__init__(*args, **options)
        self._exchange = exchange
        self._held: bytes | None = None  # the beginning of a request that is being put together
        self.response_class = partial(_Response, exchange=exchange)

    def request(self, *args: Any, **options: Any) -> None:
        self._held = b""
        try:
            super().request(*args, **options)  # type: ignore[misc]
        finally:
            held, self._held = self._held, None
        self._say(held)

    def send(self, data: Any) -> None:
        held = self._held
        if held is not None and len(held) + len(data) <= _PIECE:
            self._held = held + data
        else:
            if held:
                self._held = b""
                self._say(held)
            self._say(data)

    def _say(self, data: Any) -> None:
        if not data:
            return
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        _limit(self.sock, self._exchange.left())
        self._exchange.sent = True
        super().send(data)  # type: ignore[misc]


class _Http(_Bounded, HTTPConnection):
    pass


class _Https(_Bounded, HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https
