"""A WSGI application behind the server: requests arrive whole and bounded, answers leave as they are made."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esb.gateway.listen import bind
from esb.gateway.room import Room
from esb.gateway.serve import make_server
from esb.gateway.wsgi import Bridge, environ

LIMIT = 1000


@pytest.fixture
def served() -> Iterator[Callable[..., int]]:
    """Serve an application; the port."""
    running: list[tuple[Any, threading.Thread, socket.socket]] = []

    def start(app: Any, room: Room | None = None) -> int:
        listener = bind("127.0.0.1", 0)
        server = make_server(Bridge(app, LIMIT, room))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running.append((server, thread, listener))
        return listener.getsockname()[1]

    yield start
    for server, thread, listener in running:
        server.stop()
        thread.join(10)
        listener.close()


def ask(port: int, method: str = "GET", path: str = "/", body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
    """(status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_a_request_arrives_whole(served):
    """Path, query, headers and body, as PEP 3333 names them."""
    seen = {}

    def app(environment, start):
        seen.update(environment, body=environment["wsgi.input"].read())
        start("201 Created", [("X-Said", "hé"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"par", b"", b"ts"]

    status, headers, body = ask(served(app), "POST", "/a%20b/%C3%A9?q=1&r=%20", b"x" * LIMIT, Cookie="c=3")
    assert (status, body, headers.get_all("Set-Cookie")) == (201, b"parts", ["a=1", "b=2"])
    assert seen["PATH_INFO"].encode("latin-1").decode() == "/a b/é"
    assert (seen["QUERY_STRING"], seen["REQUEST_METHOD"], seen["HTTP_COOKIE"]) == ("q=1&r=%20", "POST", "c=3")
    assert (len(seen["body"]), seen["CONTENT_LENGTH"], seen["REMOTE_ADDR"]) == (LIMIT, "1000", "127.0.0.1")


def test_what_is_too_large_never_reaches_the_application(served):
    """Counted as it comes, whatever the head claims."""
    called = []
    port = served(lambda environment, start: called.append(1) or [])
    assert ask(port, "POST", body=b"x" * (LIMIT + 1))[0] == 413
    assert ask(port, "POST", body=iter([b"x" * LIMIT, b"x"]))[0] == 413
    assert called == []


def test_bodies_share_the_room_with_those_of_other_applications(served):
    """Where it is full, a request comes again later; one without a body needs none."""
    room = Room(LIMIT, most=LIMIT)

    def app(environment, start):
        start("200 OK", [])
        return [environment["wsgi.input"].read()]

    port = served(app, room)
    with room.share() as elsewhere:
        assert elsewhere.take(1)
        status, headers, _ = ask(port, "POST", body=b"x" * LIMIT)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert ask(port)[0] == 200
    assert ask(port, "POST", body=b"x" * LIMIT)[2] == b"x" * LIMIT


def test_a_failure_outside_the_application_is_an_answer(served):
    """Nobody waits for nothing, and the next request is served."""
    failing = [True]

    def app(environment, start):
        if failing.pop():
            raise RuntimeError("secret")
        start("200 OK", [])
        return [b"fine"]

    failing.insert(0, False)
    port = served(app)
    status, _, body = ask(port)
    assert (status, b"secret" in body) == (500, False)
    assert ask(port)[2] == b"fine"


def test_pages_are_made_side_by_side(served):
    """One that takes long holds up no other."""
    release = threading.Event()

    def app(environment, start):
        if environment["PATH_INFO"] == "/slow":
            assert release.wait(10)
        start("200 OK", [])
        return [b"done"]

    port = served(app)
    slow = threading.Thread(target=ask, args=(port, "GET", "/slow"))
    slow.start()
    assert ask(port, path="/quick")[2] == b"done"
    release.set()
    slow.join(10)
    assert not slow.is_alive()


def test_a_header_cannot_pass_for_another():
    """An underscore would become the same name as a hyphen; repeated headers are joined."""
    scope = {"method": "GET", "path": "/", "query_string": b"", "http_version": "1.1", "headers": [
        (b"x_forwarded_for", b"spoofed"), (b"accept", b"a"), (b"accept", b"b"), (b"content-length", b"5"),
    ]}  # fmt: skip
    made = environ(scope, b"xyz")
    assert "HTTP_X_FORWARDED_FOR" not in made
    assert (made["HTTP_ACCEPT"], made["CONTENT_LENGTH"]) == ("a,b", "3")
