"""A WSGI application behind an ASGI server (PEP 3333): pages are made on a few threads of their own.

By hand: uvicorn's own bridge is deprecated in favour of another distribution, and the bus promises to install few.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import structlog

from esb.gateway.room import Room, Share

log = structlog.get_logger("esb.gateway")

THREADS = 8  # pages made at once
WAITING = 64  # requests at once; more are answered 503
SLOWEST = 30.0  # seconds that a body may take to arrive, and a part of an answer to be taken

Send = Callable[[Any], Any]
Receive = Callable[[], Any]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Bridge:
    """The ASGI application."""

    def __init__(self, app: Wsgi, max_body: int, room: Room | None = None) -> None:
        """Args: the WSGI application; the bytes of the largest request it is given, more is answered 413; the room for
        the bodies of all requests, where other applications of the process share it."""
        self._app = app
        self._max_body = max_body
        self._room = room or Room(max_body)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
        self._waiting = asyncio.Semaphore(WAITING)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if self._waiting.locked():
            await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        async with self._waiting:
            with self._room.share() as share:
                await self._answer(scope, receive, send, share)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive, send: Send, share: Share) -> None:
        body = await self._body(receive, share)
        if isinstance(body, HTTPStatus):
            await _refuse(send, body)
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._run, environ(scope, body), _from_thread(loop, send))

    async def _body(self, receive: Receive, share: Share) -> bytes | HTTPStatus:
        """All of it, as far as it may be."""
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(SLOWEST):
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        return HTTPStatus.BAD_REQUEST
                    piece, more = event.get("body", b""), event.get("more_body", False)
                    if len(body) + len(piece) > self._max_body:
                        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                    if not share.take(len(piece)):
                        return HTTPStatus.SERVICE_UNAVAILABLE
                    body += piece
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT
        return bytes(body)

    def _run(self, environment: dict[str, Any], send: Send) -> None:
        """On a thread of the pool: call the application, hand on what it gives."""
        answer = _Answer(send)
        try:
            parts = self._app(environment, answer.start)
            try:
                for part in parts:
                    answer.write(part)
                answer.end()
            finally:
                getattr(parts, "close", lambda: None)()
        except Exception as error:
            log.error("a page failed outside the application", path=environment["PATH_INFO"], exc_info=error)
            answer.fail()


class _Answer:
    """What WSGI says, as ASGI wants it: the head goes out with the first part."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: dict[str, Any] | None = None
        self._sent = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """``start_response`` of PEP 3333."""
        if self._sent and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status.split(" ", 1)[0]), "headers": raw}
        return self.write

    def write(self, part: bytes) -> None:
        if part:
            self._begin()
            self._send({"type": "http.response.body", "body": part, "more_body": True})

    def end(self) -> None:
        self._begin()
        self._send({"type": "http.response.body", "body": b""})

    def fail(self) -> None:
        """Nothing can be said any more once the head is out: the connection is cut by the server."""
        if not self._sent:
            self.start("500 Internal Server Error", [("Content-Type", "text/plain")])
            self.write(b"This page failed; the log of the web role says why.\n")
            self.end()

    def _begin(self) -> None:
        if not self._sent:
            assert self._head is not None, "the application gave no head"
            self._sent = True
            self._send(self._head)


def environ(scope: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """The WSGI environment of a request."""
    host, port = scope.get("server") or ("localhost", 80)
    environment: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("", 0))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    environment |= _headers(scope["headers"])
    environment["CONTENT_LENGTH"] = str(len(body))
    return environment


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Repeated ones are joined. A name with an underscore would pass for one with a hyphen, and is left out."""
    found: dict[str, str] = {}
    for name, value in raw:
        if b"_" in name:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        joint = "; " if key == "HTTP_COOKIE" else ","
        text = value.decode("latin-1")
        found[key] = f"{found[key]}{joint}{text}" if key in found else text
    return found


def _from_thread(loop: asyncio.AbstractEventLoop, send: Send) -> Send:
    """``send`` for another thread: it waits until the part is taken, so that a slow reader fills no memory."""

    def hand_over(event: Any) -> None:
        asyncio.run_coroutine_threadsafe(send(event), loop).result(SLOWEST)

    return hand_over


async def _refuse(send: Send, status: HTTPStatus) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close"), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": f"{status.phrase}\n".encode()})
