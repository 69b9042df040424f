"""A real HTTP service on loopback that does what a test tells it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Exchange(BaseHTTPRequestHandler):
    """Reads the request, remembers it, and lets the service's ``behave`` answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def handle_any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, dict(self.headers.items()), self.body))
        self.server.behave(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """One whole answer; header names are written with underscores."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


class Service(ThreadingHTTPServer):
    """Counts an Idempotency-Key once, unless a test sets ``behave``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0, tls: tuple[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", port), Exchange)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.effects: dict[str, bytes] = {}
        self.behave: Callable[[Exchange], None] = self.keep
        self.released = threading.Event()
        self.connections: list[Any] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def keep(self, exchange: Exchange) -> None:
        """Take each key once."""
        self.effects.setdefault(exchange.headers["Idempotency-Key"], exchange.body)
        exchange.answer(201, b'{"ok":true}', Content_Type="application/json")

    def hang(self, exchange: Exchange) -> None:
        """Say nothing until the test is over."""
        self.released.wait(60)

    def get_request(self) -> Any:
        request = super().get_request()
        self.connections.append(request[0])
        return request

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no news here."""

    def stop(self) -> None:
        """Close the port and every connection."""
        self.released.set()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):  # closed by its own thread before
                connection.shutdown(socket.SHUT_RDWR)
