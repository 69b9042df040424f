"""What the ingress answers, and what it lets through."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress

import pytest

from esb.errors import BrokerDown, ConfigError, ContractError, DecodeError, RoutingError
from esb.gateway.app import build
from esb.gateway.protocol import plain_protocol
from esb.testing.servers import wait_until
from tests.gateway.conftest import LIMIT, TOKEN, Door, Said, answer_of, endpoint


def is_problem(answer, status):
    """The answer is a problem of this status, in the right media type."""
    assert answer[0] == status, answer
    assert answer[1]["content-type"] == "application/problem+json"
    assert answer[2]["status"] == status
    return answer[2]


def test_an_accepted_message_is_answered_202_with_its_ids(door: Door):
    """The caller learns the id by which the message is found again."""
    status, headers, body = door.post("/orders", b'{"a": 1}')
    assert (status, body) == (202, {"id": "m-1", "correlation_id": "c-1", "status": "accepted"})
    assert "server" not in headers
    assert door.arrivals[0][0] == "orders"
    assert door.arrivals[0][1].body == b'{"a": 1}'


def test_a_repeat_is_answered_202_as_a_duplicate(door: Door):
    """Somebody repeats a request whose answer was lost: the same id reaches the intake, which knows it."""
    door.answer = lambda _, arrival: Said("duplicate" if len(door.arrivals) > 1 else "accepted")
    states = [door.post("/orders", b"{}", Idempotency_Key='"k-1"')[2]["status"] for _ in range(2)]
    assert states == ["accepted", "duplicate"]
    assert [arrival.id for _, arrival in door.arrivals] == ["k-1", "k-1"]


def test_cloudevents_headers_become_attributes(door: Door):
    """Id, subject and trace context travel in headers, percent-encoded."""
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    door.post("/orders", b"{}", ce_id="e%201", ce_subject="SO-%C3%BC", traceparent=trace)
    arrival = door.arrivals[0][1]
    assert (arrival.id, arrival.subject, arrival.traceparent) == ("e 1", "SO-ü", trace)


def test_a_broken_trace_context_is_dropped(door: Door):
    """A malformed traceparent does not enter."""
    assert door.post("/orders", b"{}", traceparent="00-evil")[0] == 202
    assert door.arrivals[0][1].traceparent == ""


def test_a_contract_violation_is_422_with_the_violations(door: Door):
    """Each violation is listed with its place in the document."""
    violations = (("/qty", "-1 is less than the minimum of 1"),)
    door.answer = lambda *_: Said("refused", error=ContractError("breaks order/v1", "order/v1", violations))
    problem = is_problem(door.post("/orders", b"{}"), 422)
    assert problem["violations"] == [{"pointer": "/qty", "detail": "-1 is less than the minimum of 1"}]
    assert problem["type"] == "urn:esb:problem:contract"


def test_an_unreadable_body_is_400(door: Door):
    """Bytes that are not the format."""
    door.answer = lambda *_: Said("refused", error=DecodeError("line 1: no JSON"))
    assert is_problem(door.post("/orders", b"{"), 400)["detail"] == "line 1: no JSON"


@pytest.mark.parametrize("error", [BrokerDown("gone"), RoutingError("the queue is full")])
def test_what_cannot_be_kept_safe_is_503_with_retry_after(door: Door, error):
    """The broker is away, or the queue full: later, with the same id."""
    door.answer = lambda *_: error
    answer = door.post("/orders", b"{}")
    is_problem(answer, 503)
    assert int(answer[1]["retry-after"]) > 0


def test_a_bug_is_500_and_tells_nothing(door: Door):
    """An unforeseen error stands in the log, not in the answer."""
    door.answer = lambda *_: ValueError("inner secret")
    assert "inner secret" not in str(is_problem(door.post("/orders", b"{}"), 500))


def test_an_unknown_path_is_404(door: Door):
    """The framework's own errors are problems too."""
    assert "/nowhere" in is_problem(door.post("/nowhere", b"{}"), 404)["detail"]


@pytest.mark.parametrize("path", ["/orders/", "/secret/", "/healthz/"])
def test_a_path_with_a_slash_too_many_is_404(door: Door, path):
    """A redirect would lead the request, with its credentials, to an address that the caller did not choose."""
    answer = door.ask("POST", path, b"{}", {"Authorization": f"Bearer {TOKEN}", "Host": "elsewhere"})
    is_problem(answer, 404)
    assert "location" not in answer[1]


def test_a_wrong_method_is_405_and_names_the_right_ones(door: Door):
    """RFC 9110 wants Allow."""
    answer = door.ask("DELETE", "/feed")
    is_problem(answer, 405)
    assert answer[1]["allow"] == "POST, PUT"


@pytest.mark.parametrize("given", [
    "text/csv", "application/x-www-form-urlencoded", "application/json; charset=utf-16",
    'application/json;v=1; Charset="UTF-16"', "", "json", 'application/json; a="' + ";" * 300,
])  # fmt: skip
def test_a_wrong_media_type_is_415(door: Door, given):
    """What a browser's form or a careless curl sends is not taken for JSON."""
    answer = door.ask("POST", "/orders", b"{}", {"Content-Type": given})
    is_problem(answer, 415)
    assert answer[1]["accept"] == "application/json"
    assert not door.arrivals


@pytest.mark.parametrize("given", [
    "application/json;charset=UTF-8", "application/cloudevents+json", None, "Application/JSON ; v=1; charset=\"utf-8\"",
    "application/json; charset=us-ascii", "text/json",
])  # fmt: skip
def test_the_right_media_type_comes_in_many_spellings(door: Door, given):
    """A charset, a structured suffix, or no type at all."""
    assert door.ask("POST", "/orders", b"{}", {"Content-Type": given} if given else {})[0] == 202


def test_a_compressed_body_is_415(door: Door):
    """A small body that unpacks into a large one is not unpacked."""
    answer = door.post("/orders", b"\x1f\x8b", Content_Encoding="gzip")
    is_problem(answer, 415)
    assert answer[1]["accept-encoding"] == "identity"


def test_a_body_of_just_the_limit_passes(door: Door):
    """The limit itself is allowed."""
    assert door.post("/orders", b"x" * LIMIT)[0] == 202


def test_a_claimed_length_over_the_limit_is_413_at_once(door: Door):
    """100 MB are announced: nobody waits for them."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", "/orders")
    connection.putheader("Content-Length", str(100 * 1024**2))
    connection.endheaders(b"{")
    is_problem(answer_of(connection), 413)
    connection.close()


def test_a_chunked_body_over_the_limit_is_413(door: Door):
    """Without Content-Length the bytes are counted as they come."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", "/orders")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"%x\r\n%b\r\n" % (LIMIT + 1, b"x" * (LIMIT + 1)))
    is_problem(answer_of(connection), 413)
    connection.close()
    assert not door.arrivals


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_wrong_credentials_are_401_and_enter_nothing(door: Door, headers):
    """Missing, wrong, or in the wrong scheme."""
    answer = door.ask("POST", "/secret", b"{}", headers)
    assert TOKEN not in str(is_problem(answer, 401))
    assert answer[1]["www-authenticate"].startswith("Bearer")
    assert not door.arrivals


def begun(door: Door, path: str, body: bytes, **headers: str) -> http.client.HTTPConnection:
    """A request whose body is LIMIT bytes long, of which these have been sent."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(LIMIT))
    connection.endheaders(body)
    return connection


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_wrong_credentials_are_401_before_the_body_is_there(door: Door, headers):
    """The bus keeps no body of somebody who may not send one; what comes of it later is passed over."""
    connection = begun(door, "/secret", b"x", **headers)
    is_problem(answer_of(connection), 401)
    assert door.room.held == 0
    connection.send(b"x" * (LIMIT - 1))
    connection.request("POST", "/secret", b"{}", {"Authorization": f"Bearer {TOKEN}"})
    assert answer_of(connection)[0] == 202
    connection.close()
    assert [arrival.body for _, arrival in door.arrivals] == [b"{}"]


def test_an_adapter_may_need_the_body_to_know_the_caller(door: Door):
    """Such as for a signature over it."""
    is_problem(door.post("/signed", b"forged"), 401)
    assert door.post("/signed", TOKEN.encode())[0] == 202


def test_bodies_of_all_requests_together_have_a_limit(door: Door):
    """Two that are not whole fill the room that there is: a third is told to come again, and is let in after them."""
    others = [begun(door, path, b"x" * (LIMIT - 1)) for path in ("/orders", "/feed")]
    wait_until(lambda: door.room.held == 2 * (LIMIT - 1), 10, "both to be read so far")
    answer = door.post("/orders", b"x" * LIMIT)
    is_problem(answer, 503)
    assert int(answer[1]["retry-after"]) > 0
    for other in others:
        other.send(b"x")
        assert answer_of(other)[0] == 202
        other.close()
    wait_until(lambda: door.room.held == 0, 10, "the room to be empty")
    assert door.post("/orders", b"x" * LIMIT)[0] == 202


def test_right_credentials_enter(door: Door):
    """The scheme's case does not matter."""
    assert door.ask("POST", "/secret", b"{}", {"Authorization": f"bearer {TOKEN}"})[0] == 202


def test_two_idempotency_keys_in_one_request_are_400(door: Door):
    """Which of them would it be?"""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", "/orders")
    for value in ("a", "b"):
        connection.putheader("Idempotency-Key", value)
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"{}")
    is_problem(answer_of(connection), 400)
    connection.close()


@pytest.mark.parametrize("key", ['"open', '"', '""', "x" * 300, "a%00b"])
def test_a_malformed_id_is_400(door: Door, key):
    """Ids go into tables and logs."""
    headers = {"ce_id": key} if "%" in key else {"Idempotency_Key": key}
    is_problem(door.post("/orders", b"{}", **headers), 400)


def test_liveness_and_readiness(door: Door):
    """Alive is not ready."""
    assert door.ask("GET", "/healthz")[0] == 200
    assert door.ask("GET", "/readyz")[0] == 200
    door.ready = "the broker is away"
    assert is_problem(door.ask("GET", "/readyz"), 503)["detail"] == "the broker is away"
    assert door.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("path", ["/orders", "/healthz"])
def test_two_owners_of_a_path_are_refused(path):
    """Nobody could tell whose message it is."""
    with pytest.raises(ConfigError, match="belongs to"):
        build([endpoint("orders"), endpoint("other", path=path)], lambda *_: None, max_body=1)


@pytest.mark.parametrize("head", [b"GET /healthz HTTP/1.1\r\nX-Long: ", b"GET /", b"GET /healthz HTTP/1.1\r\n"])
def test_a_head_without_end_is_400(door: Door, head: bytes):
    """One long line, or many short ones: it is not kept until memory is full."""
    more = b"X-Many: of these\r\n" if head.endswith(b"\n") else b"x"
    address = ("127.0.0.1", door.port)
    with socket.create_connection(address, timeout=10) as connection, pytest.raises(OSError):  # it hangs up
        connection.sendall(head)
        for _ in range(1000):
            connection.sendall(more * (20_000 // len(more)))


@pytest.mark.parametrize("endless", [b"X-Many: of these\r\n", b"x" * 100])
def test_trailers_without_end_are_refused(door: Door, endless: bytes):
    """Behind the last chunk of a body come headers again: they are neither kept nor read for ever."""
    head = b"POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection, pytest.raises(OSError):
        connection.sendall(head + b"X-First: of all\r\n")
        for _ in range(1000):
            connection.sendall(endless * (20_000 // len(endless)))


def test_what_frames_a_chunk_has_an_end(door: Door):
    """A chunk of one byte with an extension that never ends."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection, pytest.raises(OSError):
        connection.sendall(b"POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;more=")
        for _ in range(1000):
            connection.sendall(b"x" * 20_000)


def test_a_body_in_chunks_with_trailers_passes(door: Door):
    """Each byte in a chunk of its own, and a trailer; what looks like a header of the request there is none."""
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in b"x" * LIMIT)
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        head = b"POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        connection.sendall(head + chunks + b"0\r\nIdempotency-Key: late\r\n\r\n")
        assert connection.makefile("rb").readline() == b"HTTP/1.1 202 Accepted\r\n"
    assert (door.arrivals[0][1].body, door.arrivals[0][1].id) == (b"x" * LIMIT, None)


def piled_up(door: Door, number: int) -> bytes:
    """The answers to one request and so many behind it, all of them there before the first is answered."""
    entered, released = threading.Event(), threading.Event()

    def answer(endpoint, arrival):
        entered.set()
        released.wait(10)
        return Said()

    door.answer = answer
    answers = b""
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert entered.wait(10)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * (number - 1))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        released.set()
        with suppress(ConnectionError):
            while said := connection.recv(65536):
                answers += said
    return answers


def test_requests_that_do_not_wait_for_answers_are_answered_in_turn(door: Door):
    """The whole window of a client that pipelines."""
    answers = piled_up(door, 50)
    assert answers.startswith(b"HTTP/1.1 202")
    assert answers.count(b"HTTP/1.1 200") == 50


def test_requests_that_pile_up_are_not_all_kept(door: Door, protocol):
    """A thousand on one connection: h11 leaves them where they are, httptools would keep each of them, and read on."""
    answers = piled_up(door, 1000)
    if protocol is plain_protocol:
        assert answers.count(b"HTTP/1.1 200") == 1000
    else:
        assert answers.count(b"HTTP/1.1 200") < 100


def test_a_head_of_many_headers_passes(door: Door):
    """Half of what is allowed."""
    assert door.ask("GET", "/healthz", headers={f"X-Header-{n}": "v" * 1000 for n in range(30)})[0] == 200
