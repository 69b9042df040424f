"""What the HTTP stand-ins share: a server that says where it listens, and a handler that reads and answers."""

from __future__ import annotations

import argparse
import hmac
import json
import signal
import socket
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MAX_BODY = 1024 * 1024


class Server(ThreadingHTTPServer):
    """One thread a connection; a burst of connections waits instead of being refused."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections, JSON unless said otherwise, nothing on standard error."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def body(self) -> bytes:
        """The request's body, at most 1 MB; always read, or a kept connection would be out of step."""
        return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))

    def answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        """Send a JSON document."""
        self.answer_with(status, json.dumps(document).encode(), "application/json", headers)

    def answer_with(
        self, status: int, content: bytes, content_type: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send a body of any kind."""
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @property
    def key(self) -> str:
        """The Idempotency-Key, without the quotes that the draft wants around it."""
        return str(self.headers.get("Idempotency-Key", "")).strip().strip('"')

    def allowed(self, token: str) -> bool:
        """Whether the caller shows the bearer token; where there is none, everybody may."""
        given = str(self.headers.get("Authorization", ""))
        return not token or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def hang_up(self) -> None:
        """Cut the connection without an answer, as a machine does that loses its power."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the record tells what was seen."""


def parser(program: str, summary: str) -> argparse.ArgumentParser:
    """The options that every stand-in takes."""
    options = argparse.ArgumentParser(prog=program, description=summary)
    options.add_argument("--port", type=int, default=0, help="0: any free one")
    options.add_argument("--record", type=Path, required=True, help="SQLite file of what was seen")
    options.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
    return options


def open_record(path: Path, schema: str) -> sqlite3.Connection:
    """The record, shared by all threads under the caller's lock; what is committed survives a killed process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(schema)
    return connection


def serve(handler: type[Handler], port: int, *, with_parent: bool = False) -> None:
    """Answer until a signal; ``{"ready": url}`` on standard output tells where.

    Args:
        with_parent: stop as well when standard input ends, which it does however the parent process dies.
    """
    with Server(("127.0.0.1", port), handler) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _stop(server))
        if with_parent:
            threading.Thread(target=_follow_parent, args=(server,), daemon=True).start()
        print(json.dumps({"ready": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
        server.serve_forever(poll_interval=0.1)


def _follow_parent(server: Server) -> None:
    sys.stdin.buffer.read()
    _stop(server)


def _stop(server: Server) -> None:
    # shutdown() waits for serve_forever() to end, which runs in the thread that a signal interrupts.
    threading.Thread(target=server.shutdown, daemon=True).start()
