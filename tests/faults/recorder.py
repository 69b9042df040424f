"""A system that records effects: paths that begin with /unkeyed know no Idempotency-Keys, the others honour them."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DECLINED = 5  # the courier does not go to every number that this divides


class Recorder:
    """Counts effects by path and number; a repeated key has none."""

    def __init__(self) -> None:
        self.effects: dict[str, Counter[int]] = defaultdict(Counter)
        self.repeats = 0
        self._keys: set[str] = set()
        self._lock = threading.Lock()
        self._server = Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, key: str, number: int) -> int:
        """The status to answer with."""
        with self._lock:
            if path == "/ship" and number % DECLINED == 0:
                return 422
            if key in self._keys and not path.startswith("/unkeyed"):
                self.repeats += 1
            else:
                self._keys.add(key)
                self.effects[path][number] += 1
        return 201

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
        wbufsize = -1  # head and body in one packet: else the second waits 40 ms for the first's acknowledgement

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key, number = self.headers.get("Idempotency-Key", ""), json.loads(body)["number"]
            answer = json.dumps({"number": number}).encode()
            self.send_response(recorder.take(self.path, key, number))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
