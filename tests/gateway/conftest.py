"""The ingress on a real port, with an intake that the tests watch."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from esb.adapters.http import HttpAdapter, HttpReceive, HttpSettings
from esb.gateway.app import Served, build
from esb.gateway.listen import bind
from esb.gateway.protocol import Limits, plain_protocol, quick_protocol
from esb.gateway.room import Room
from esb.gateway.serve import make_server
from esb.ports import Adapter, Arrival, Denied, HttpRequest

LIMIT = 1000
TOKEN = "the-token-nobody-may-see"


@dataclass
class Said:
    """What the intake answers."""

    state: str = "accepted"
    id: str = "m-1"
    correlation_id: str = "c-1"
    error: Any = None


@dataclass
class Door:
    """The ingress from outside, and what came through it. ``answer`` decides what the intake does."""

    port: int
    arrivals: list[tuple[str, Arrival]] = field(default_factory=list)
    answer: Callable[[str, Arrival], Any] = lambda endpoint, arrival: Said()
    ready: str = ""
    room: Room = field(default_factory=lambda: Room(LIMIT, most=2 * LIMIT))

    def intake(self, endpoint: str, arrival: Arrival) -> Future[Any]:
        self.arrivals.append((endpoint, arrival))
        future: Future[Any] = Future()
        answer = self.answer(endpoint, arrival)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """(status, headers in lower case, parsed body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            return answer_of(connection)
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Mapping[str, str], Any]:
        """POST JSON; header names are written with underscores."""
        named = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.ask("POST", path, body, named)


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, Mapping[str, str], Any]:
    """The answer on a connection, its body parsed as JSON."""
    response = connection.getresponse()
    content = response.read()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(content) if content else None


class Signed(Adapter):
    """What a caller proves stands in the body, so ``accept`` alone decides; as an adapter that knows no ``admit``."""

    def accept(self, request: HttpRequest) -> Arrival:
        if not request.body.startswith(TOKEN.encode()):
            raise Denied(401, "the signature is wrong")
        return super().accept(request)


def endpoint(name: str, **receive: Any) -> Served:
    """A JSON endpoint that receives."""
    return Served(name, HttpAdapter(name, HttpSettings(), receive=HttpReceive(**receive)), "application/json")


@pytest.fixture
def door(running: Door) -> Door:
    """The running ingress, with nothing of an earlier test in it."""
    fresh = Door(running.port)
    running.arrivals, running.answer, running.ready = fresh.arrivals, fresh.answer, fresh.ready
    return running


@pytest.fixture(scope="session", params=[plain_protocol, quick_protocol], ids=["h11", "httptools"])
def protocol(request: pytest.FixtureRequest) -> Callable[[Limits], Any]:
    """Either reader of requests."""
    quick = hasattr(request.param(Limits()), "on_chunk_header")
    assert quick is (request.param is quick_protocol), "httptools is not installed"
    return request.param


@pytest.fixture(scope="session")
def running(protocol: Callable[[Limits], Any]) -> Iterator[Door]:
    """Serves /orders, /feed (PUT and POST), /secret (with a bearer token) and /signed, by either reader of requests."""
    with bind("127.0.0.1", 0) as listener:
        door = Door(listener.getsockname()[1])
        served = [
            endpoint("orders"),
            endpoint("stock", path="/feed", methods=("PUT", "POST")),
            endpoint("secret", auth={"bearer": TOKEN}),
            Served("signed", Signed("signed", None), "application/json"),
        ]
        app = build(served, door.intake, max_body=LIMIT, ready=lambda: door.ready, room=door.room)
        server = make_server(app, protocol=protocol)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield door
        server.stop()
        thread.join(10)
