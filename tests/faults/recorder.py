"""A system that records effects: paths that begin with /unkeyed know no Idempotency-Keys, the others honour them."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DECLINED = 5  # the courier does not go to every number that this divides
SLOW = 2.0  # seconds that a slow answer takes at the most

Mood = Callable[[str], str]  # of a path: "well", "busy", "slow" or "lie"


def well(path: str) -> str:
    """As a system should be."""
    return "well"


class Recorder:
    """Counts effects by path and number; a repeated key has none.

    ``mood`` says how it meets a request: ``busy`` (503, nothing is done), ``slow``, ``lie`` (it is done, and the
    connection ends without an answer). ``/later`` is always busy when it hears of a number for the first time, and
    ``/picky`` refuses while ``picky`` is set.
    """

    def __init__(self) -> None:
        self.effects: dict[str, Counter[int]] = defaultdict(Counter)
        self.moments: dict[str, dict[int, float]] = defaultdict(dict)  # of the first effects (monotonic)
        self.repeats = 0
        self.mood: Mood = well
        self.picky = False
        self.lies: Counter[str] = Counter()  # by path
        self._keys: set[str] = set()
        self._put_off: set[int] = set()
        self._lock = threading.Lock()
        self._server = Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, key: str, number: int) -> int:
        """The status to answer with; 0 for none at all."""
        mood = self.mood(path)
        if mood == "busy":
            return 503
        if mood == "slow":
            time.sleep(random.random() * SLOW)
        with self._lock:
            status = self._status(path, number)
            if status == 201:
                self._happens(path, key, number)
            if mood == "lie":
                self.lies[path] += 1
                return 0
        return status

    def seen(self, path: str) -> Counter[int]:
        """The effects until now, while more come."""
        with self._lock:
            return Counter(self.effects[path])

    def _status(self, path: str, number: int) -> int:
        if path == "/later" and number not in self._put_off:
            self._put_off.add(number)
            return 503
        refused = (path == "/ship" and number % DECLINED == 0) or (path == "/picky" and self.picky)
        return 422 if refused else 201

    def _happens(self, path: str, key: str, number: int) -> None:
        if key in self._keys and not path.startswith("/unkeyed"):
            self.repeats += 1
        else:
            self._keys.add(key)
            self.effects[path][number] += 1
            self.moments[path].setdefault(number, time.monotonic())

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
            status = recorder.take(self.path, key, number)
            if not status:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            answer = json.dumps({"number": number}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self.send_response(503 if recorder.mood("/health") == "busy" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
