"""A system that records effects: one path honours Idempotency-Keys, the other does not know them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Recorder:
    """``keyed`` counts effects per number (a repeated key has none), ``unkeyed`` counts every arrival."""

    def __init__(self) -> None:
        self.keyed: Counter[int] = Counter()
        self.unkeyed: Counter[int] = Counter()
        self.events: Counter[int] = Counter()
        self.repeats = 0
        self._keys: set[str] = set()
        self._lock = threading.Lock()
        self._server = Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def effect(self, path: str, key: str, number: int) -> None:
        with self._lock:
            if path == "/unkeyed":
                self.unkeyed[number] += 1
            elif key in self._keys:
                self.repeats += 1
            else:
                self._keys.add(key)
                (self.keyed if path == "/keyed" else self.events)[number] += 1

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Quiet(ThreadingHTTPServer):
    """Callers are killed here, so that a broken connection is nothing to talk about."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            recorder.effect(self.path, self.headers.get("Idempotency-Key", ""), json.loads(body)["number"])
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
