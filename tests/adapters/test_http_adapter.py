"""What is particular to HTTP: the meaning of answers, time, hostile values and hostile services."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError
from urllib3.exceptions import InsecureRequestWarning

from esb.adapters.http import HttpAdapter, HttpOperation, HttpReceive, HttpSettings
from esb.adapters.http.answers import retry_after
from esb.errors import Busy, EndpointError, Interrupted, Refused, Unreachable
from esb.ports import Arrival, Denied, HttpRequest, Request
from tests.adapters.web import Exchange, Service

TOKEN = "canary-token-77"


@pytest.fixture
def service() -> Iterator[Service]:
    """A fresh service."""
    service = Service()
    yield service
    service.stop()


def opened(url: str, operation: dict[str, Any] | None = None, **settings: Any) -> HttpAdapter:
    """An adapter with the one operation ``call``."""
    one = HttpOperation(**(operation or {"post": "/orders"}))
    adapter = HttpAdapter("shop", HttpSettings(url=url, **{"auth": {"bearer": TOKEN}, **settings}), {"call": one})
    adapter.open()
    return adapter


def message(document: Any = None, **attributes: Any) -> Request:
    """A request of the operation ``call``."""
    given = {"message_id": "m-1", "key": "m-1/call", "content_type": "application/json", "headers": {}} | attributes
    return Request(operation="call", body=b"{}", document=document or {}, **given)


def answering(service: Service, status: int, body: bytes = b"", **headers: str) -> None:
    """From now on the service gives this answer."""
    service.behave = lambda exchange: exchange.answer(status, body, **headers)


def saying(service: Service, *pieces: bytes, every: float = 0.0) -> None:
    """From now on the service writes these bytes and hangs up."""

    def behave(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.wfile.write(piece)
            service.released.wait(every)
        exchange.close_connection = True

    service.behave = behave


# --- the meaning of answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, Refused), (400, Refused), (401, Refused), (404, Refused), (409, Refused), (410, Refused),
        (422, Refused), (408, Busy), (425, Busy), (429, Busy), (503, Busy), (500, Interrupted), (501, Interrupted),
        (502, Interrupted), (504, Interrupted), (599, Interrupted),
    ],
)  # fmt: skip
def test_what_a_status_means(service, status, error):
    """The error says what is true of the effect."""
    answering(service, status, b"because")
    with pytest.raises(error, match=f"POST .*/orders answered {status}: because") as raised:
        opened(service.url).send(message())
    assert type(raised.value) is error


@pytest.mark.parametrize("behave", [answering, lambda service, _: saying(service)])
def test_an_error_shows_the_path_as_it_is_configured(service, behave):
    """What it is filled with may be masked, and stands in it in another form than in the message."""
    behave(service, 404)
    adapter = opened(service.url, {"delete": "/people/{email}/p{zone}"})
    with pytest.raises((Refused, Interrupted), match=r"DELETE http.*/people/\{email\}/p\{zone\}") as raised:
        adapter.send(message({"email": "anna.ax@example.org", "zone": "K7"}))
    assert "anna" not in str(raised.value)
    assert "K7" not in str(raised.value)


def test_a_conflict_that_names_a_time_is_a_repeat_under_way(service):
    """The other side is still busy with the same key."""
    answering(service, 409, Retry_After="2")
    with pytest.raises(Busy) as raised:
        opened(service.url).send(message())
    assert raised.value.retry_after == 2


def test_an_operation_knows_its_service_better(service):
    """Its own lists come first."""
    adapter = opened(service.url, {"delete": "/x", "success": ["200-204", 404], "refused": [500], "busy": [423]})
    answering(service, 404)
    assert adapter.send(message()).detail == "404"
    for status, error in ((500, Refused), (423, Busy)):
        answering(service, status)
        with pytest.raises(error):
            adapter.send(message())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("-1", None), ("soon", None), ("", None), (None, None), ("9" * 30, None), ("1.5", None), ("²", None)],
)
def test_retry_after_in_seconds(text, seconds):
    """A number of seconds, or nothing."""
    assert retry_after(text) == seconds


def test_retry_after_as_a_date():
    """From now until then, never negative."""
    assert retry_after(formatdate(1000, usegmt=True), now=990) == 10
    assert retry_after(formatdate(1000, usegmt=True), now=2000) == 0


def test_the_sentence_of_a_problem_is_shown_and_credentials_are_not(service):
    """A service that echoes what it got does not bring the token into the journal."""
    body = f'{{"title":"no","detail":"no stock for Bearer {TOKEN} \\u0007{"x" * 999}"}}'.encode()
    answering(service, 422, body, Content_Type="application/problem+json")
    with pytest.raises(Refused, match="no stock for") as raised:
        opened(service.url).send(message())
    assert TOKEN not in str(raised.value)
    assert "\x07" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_the_answer_comes_back(service):
    """Status, bytes and type."""
    reply = opened(service.url).send(message())
    assert (reply.detail, reply.body, reply.content_type) == ("201", b'{"ok":true}', "application/json")


# --- what goes out ------------------------------------------------------------------------------------------------


def test_the_key_is_a_quoted_string_and_attributes_travel(service):
    """CloudEvents attributes, trace context, key, credentials; nothing else of the message."""
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    headers = {"ce-id": "m-1", "ce-subject": "SO ü", "traceparent": trace, "Host": "evil", "X-Admin": "1"}
    opened(service.url).send(message(headers=headers))
    sent = service.requests[0][2]
    assert sent["Idempotency-Key"] == '"m-1/call"'
    assert (sent["ce-id"], sent["ce-subject"], sent["traceparent"]) == ("m-1", "SO%20%C3%BC", trace)
    assert sent["Authorization"] == f"Bearer {TOKEN}"
    assert sent["Host"] != "evil"
    assert "X-Admin" not in sent


@pytest.mark.parametrize("evil", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\ud800", "ü" * 10])
def test_no_value_breaks_out_of_its_header(service, evil):
    """Line ends and worse, in an attribute, the key and the trace context."""
    headers = {"ce-subject": evil, "traceparent": evil}
    opened(service.url).send(message(headers=headers, key=evil))
    sent = service.requests[0][2]
    assert "X-Evil" not in sent
    assert "traceparent" not in sent


@pytest.mark.parametrize(
    ("value", "path"),
    [("a/b", "/o/a%2Fb"), ("a?x=1#y", "/o/a%3Fx%3D1%23y"), ("ü ", "/o/%C3%BC%20"), ("%2e", "/o/%252e")],
)
def test_a_value_stays_in_its_segment(service, value, path):
    """A document cannot choose another resource."""
    opened(service.url, {"put": "/o/{id}"}).send(message({"id": value}))
    assert service.requests[0][1] == path


@pytest.mark.parametrize("value", ["..", ".", "", None, {"a": 1}, "\ud800"])
def test_a_value_that_would_change_the_path_is_refused(service, value):
    """``DELETE /orders/`` is not ``DELETE /orders/4711``."""
    with pytest.raises(Refused):
        opened(service.url, {"delete": "/o/{id}"}).send(message({"id": value}))
    assert service.requests == []


def test_parameters_are_encoded(service):
    """Behind the path, each value its own."""
    opened(service.url + "/base", {"get": "/o", "query": {"q": "{id}"}}).send(message({"id": "a&b=c"}))
    assert service.requests[0][:2] == ("GET", "/base/o?q=a%26b%3Dc")
    assert "Idempotency-Key" not in service.requests[0][2]


# --- hostile and broken services ----------------------------------------------------------------------------------


def test_a_redirect_is_not_followed(service):
    """It would carry the credentials to wherever the service says."""
    elsewhere = Service()
    answering(service, 307, Location=elsewhere.url)
    with pytest.raises(Refused, match="redirects are not followed"):
        opened(service.url).send(message())
    assert elsewhere.requests == []
    elsewhere.stop()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_byte_now_and_then_does_not_hold_a_call(service, head):
    """Before the status, in the headers, in the body: the time-out is for everything."""
    saying(service, head, *[b"x"] * 1000, every=0.05)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        opened(service.url).send(message(timeout=0.4))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000,
    ],
)
def test_a_cut_or_senseless_answer_leaves_the_effect_open(service, answer):
    """Hung up, cut short, another protocol, endless headers."""
    saying(service, answer)
    with pytest.raises(Interrupted):
        opened(service.url).send(message())


def test_an_answer_that_is_too_long_is_not_read(service):
    """Memory is not the service's to fill; the call works again afterwards."""
    adapter = opened(service.url, max_reply="1 KB")
    answering(service, 200, b"x" * 5000)
    with pytest.raises(Interrupted, match="too long"):
        adapter.send(message())
    answering(service, 200, b"ok")
    assert adapter.send(message()).body == b"ok"


def test_a_service_that_reads_nothing_does_not_hold_a_call():
    """Sending, too, has an end: the request is larger than what the system buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        adapter = opened(f"http://127.0.0.1:{listener.getsockname()[1]}")
        large = msgspec.structs.replace(message(timeout=0.4), body=b"x" * 32 * 1024**2)
        began = time.monotonic()
        with pytest.raises(Interrupted):
            adapter.send(large)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(("size", "at_once"), [(1_000, True), (200_000, False)])
def test_a_small_request_goes_out_in_one_piece(size, at_once):
    """Head and body wake the service once, each time; of a large body no copy is made for it. All of either arrives."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        adapter = opened(f"http://127.0.0.1:{listener.getsockname()[1]}")
        large = msgspec.structs.replace(message(timeout=10.0), body=b"x" * size)
        calls = pool.map(adapter.send, [large] * 20)
        connection = listener.accept()[0]
        with connection:
            pieces = [_first_piece(connection, large.body) for _ in range(20)]
        assert [call.body for call in calls] == [b"ok"] * 20
    assert all(large.body in piece for piece in pieces) is at_once


def _first_piece(connection: socket.socket, body: bytes) -> bytes:
    """What is there of a request when something is; all of it is taken, and answered."""
    got = first = connection.recv(2 * len(body))
    while not got.endswith(b"\r\n\r\n" + body):
        got += connection.recv(2 * len(body))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return first


def test_an_unknown_host_is_unreachable():
    """The name does not resolve."""
    with pytest.raises(Unreachable, match="no connection"):
        opened("http://nowhere.invalid").send(message())


def test_tls_with_a_service_that_speaks_none_is_unreachable(service):
    """The handshake fails before anything of the message is sent."""
    with pytest.raises(Unreachable):
        opened(service.url.replace("http:", "https:")).send(message())
    assert service.requests == []


def test_a_certificate_is_checked_against_the_authority_given(tmp_path):
    """Unknown authority: unreachable, and the token never left. Known, or told not to look: it works."""
    if not shutil.which("openssl"):
        pytest.skip("the openssl program makes the certificate")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run([*make.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    service = Service(tls=(str(tmp_path / "ca.pem"), str(tmp_path / "key.pem")))
    url = service.url.replace("http:", "https:")
    with pytest.raises(Unreachable, match="certificate"):
        opened(url).send(message())
    assert service.requests == []
    assert opened(url, ca=str(tmp_path / "ca.pem")).send(message()).detail == "201"
    with pytest.warns(InsecureRequestWarning):
        assert opened(url, verify=False).send(message()).detail == "201"
    service.stop()


def test_an_authority_file_that_is_missing_is_named(tmp_path):
    """When the endpoint is opened, not with the first message."""
    with pytest.raises(EndpointError, match=r"settings\.ca"):
        opened("https://127.0.0.1:1", ca=str(tmp_path / "none.pem"))


def test_an_idle_connection_that_was_closed_is_no_failure(service):
    """The service closed it between two calls; the next call makes a new one."""
    adapter = opened(service.url)
    adapter.send(message())
    for connection in service.connections:
        connection.shutdown(socket.SHUT_RDWR)
    adapter.send(message())
    assert len(service.requests) == 2


def test_a_connection_is_used_again(service):
    """Twenty calls one after the other, and again with eight at once: as many connections as were needed at once."""
    adapter = opened(service.url)
    for _ in range(20):
        adapter.send(message())
    assert len(service.connections) == 1
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: adapter.send(message()), range(80)))
    used = len(service.connections)
    assert used <= 9
    with ThreadPoolExecutor(used) as pool:
        list(pool.map(lambda _: adapter.send(message()), range(80)))
    assert len(service.connections) == used


def test_a_silence_may_be_shorter_than_the_whole_call(service):
    """`read_timeout` is for each wait: an answer that goes on comes through, one that stops does not hold a call."""
    adapter = opened(service.url, read_timeout="1500ms")
    saying(service, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", *[b"x"] * 8, every=0.25)
    assert adapter.send(message()).body == b"x" * 8
    service.behave = service.hang
    with pytest.raises(Interrupted, match="timed out"):
        opened(service.url, read_timeout="300ms").send(message(timeout=600.0))


# --- whether it took place ----------------------------------------------------------------------------------------

PROBED = {"post": "/orders", "probe": {"get": "/orders/{id}", "query": {"by": "{message_id}"}}}


def test_a_probe_asks_where_the_operation_says(service):
    """A GET, filled from the message as the call is; what it answers stands for the answer that was lost."""
    answering(service, 200, b'{"id": 7}', Content_Type="application/json")
    reply = opened(service.url, PROBED).took_place(message({"id": 7}))
    assert reply is not None
    assert (reply.body, reply.content_type) == (b'{"id": 7}', "application/json")
    (method, path, _, body) = service.requests[0]
    assert (method, path, body) == ("GET", "/orders/7?by=m-1", b"")


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"no such order"), (410, b""), (200, b""), (204, b""), (200, b"[]"), (200, b" null\n")]
)
def test_nothing_there_means_that_it_did_not_take_place(service, status, body):
    """A status that says so, or an answer without content."""
    answering(service, status, body)
    assert opened(service.url, PROBED).took_place(message({"id": 7})) is None


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
def test_any_other_answer_says_nothing_about_it(service, status):
    """Neither that it took place nor that it did not: an endpoint error, to be asked again."""
    answering(service, status)
    with pytest.raises(EndpointError):
        opened(service.url, PROBED).took_place(message({"id": 7}))


# --- settings and check -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://x"}, {"url": "http://user:pw@x"}, {"url": "http://x?a=1"}, {"url": "x"},
        {"headers": {"a b": "c"}}, {"headers": {"a": "b\r\nc"}}, {"auth": {}}, {"auth": {"bearer": "a\nb"}},
        {"timeout": 0}, {"check": "/{id}"},
        {"auth": {"bearer": "a", "basic": {"user": "u", "password": "p"}}},
    ],
)  # fmt: skip
def test_wrong_settings_are_findings(settings):
    """Found while loading."""
    with pytest.raises(ValidationError):
        HttpSettings(**{"url": "http://x", **settings})


@pytest.mark.parametrize(
    "operation",
    [{}, {"get": "/a", "post": "/b"}, {"post": "orders"}, {"post": "/a?b=1"}, {"post": "/a/../b"}, {"post": "/{a"},
     {"post": "/a b"}, {"post": "/a", "success": "200"}, {"post": "/a", "busy": [700]}],
)  # fmt: skip
def test_wrong_operations_are_findings(operation):
    """Found while loading."""
    with pytest.raises(ValidationError):
        HttpOperation(**operation)


def test_operations_without_an_address_are_a_finding():
    """Each is right alone; together they cannot work."""
    operations = {"call": HttpOperation(post="/x")}
    assert HttpAdapter.problems(HttpSettings(), operations, None)
    assert not HttpAdapter.problems(HttpSettings(url="http://x"), operations, None)


def test_check_asks_the_path_it_was_given(service):
    """A status that is no success is an endpoint error."""
    adapter = opened(service.url, check="/health")
    answering(service, 200)
    assert adapter.check() == "GET /health answered 200"
    answering(service, 500)
    with pytest.raises(EndpointError, match="500"):
        adapter.check()


def test_basic_and_header_credentials(service):
    """The other two ways to prove who calls."""
    opened(service.url, auth={"basic": {"user": "u", "password": "pä"}}).send(message())
    opened(service.url, auth={"header": {"name": "X-Api-Key", "value": "k"}}).send(message())
    assert service.requests[0][2]["Authorization"] == "Basic dTpww6Q="
    assert service.requests[1][2]["X-Api-Key"] == "k"


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_a_content_type_of_the_settings_goes_before_that_of_the_format(service, name):
    """As SOAP 1.1 wants it: text/xml and not application/xml, and once."""
    headers = {name: "text/xml; charset=utf-8", "SOAPAction": '"order"'}
    opened(service.url, headers=headers).send(message())
    sent = service.requests[0][2]
    assert [value for name, value in sent.items() if name.lower() == "content-type"] == ["text/xml; charset=utf-8"]
    assert sent["SOAPAction"] == '"order"'


def entering(auth: dict[str, Any], header: str, given: str) -> Arrival:
    """What an endpoint with this proof of who calls makes of a request."""
    adapter = HttpAdapter("shop", HttpSettings(), receive=HttpReceive(auth=auth))
    headers = {header.lower(): given}
    return adapter.accept(HttpRequest(method="POST", path="/shop", headers=headers, query={}, body=b"{}"))


ADA = {"user": "Ada", "password": "Pw"}


@pytest.mark.parametrize(
    ("auth", "header", "given"),
    [
        ({"bearer": "Tok"}, "Authorization", "bearer Tok"),
        ({"bearer": "Tok"}, "Authorization", "BEARER Tok"),
        ({"basic": ADA}, "Authorization", "basic QWRhOlB3"),
        ({"header": {"name": "Authorization", "value": "ApiKey Tok"}}, "Authorization", "ApiKey Tok"),
        ({"header": {"name": "Authorization", "value": "token Tok"}}, "Authorization", "token Tok"),
        ({"header": {"name": "X-Api-Key", "value": "Two Words"}}, "X-Api-Key", "Two Words"),
    ],
)
def test_right_credentials_are_let_in(auth, header, given):
    """The case of Bearer and Basic does not matter; a header of one's own is right as it stands in the settings."""
    assert entering(auth, header, given).body == b"{}"


@pytest.mark.parametrize(
    ("auth", "header", "given"),
    [
        ({"bearer": "Tok"}, "Authorization", "Bearer tok"),
        ({"bearer": "Tok"}, "Authorization", "Tok"),
        ({"bearer": "Tok"}, "Authorization", "Basic Tok"),
        ({"basic": ADA}, "Authorization", "Basic qwrhOlB3"),
        ({"header": {"name": "Authorization", "value": "ApiKey Tok"}}, "Authorization", "Bearer Tok"),
        ({"header": {"name": "Authorization", "value": "ApiKey Tok"}}, "Authorization", "ApiKey tok"),
        ({"header": {"name": "X-Api-Key", "value": "Two Words"}}, "X-Api-Key", "two Words"),
        ({"header": {"name": "X-Api-Key", "value": "Two Words"}}, "Authorization", "Two Words"),
    ],
)
def test_wrong_credentials_are_denied(auth, header, given):
    """Another case in what is secret, another scheme, another header."""
    with pytest.raises(Denied) as denied:
        entering(auth, header, given)
    assert denied.value.status == 401


@pytest.mark.parametrize("secret", ["", " "])
@pytest.mark.parametrize(
    ("way", "header", "value"),
    [
        ("header", "x-api-key", ""),
        ("bearer", "authorization", "Bearer "),
        ("basic", "authorization", "Basic dTo="),
    ],
)
def test_an_empty_secret_lets_nobody_in(way, header, value, secret):
    """Who sends nothing knows it. `esb check` refuses such a secret; the door does so, too."""
    ways = {"header": {"name": "X-Api-Key", "value": secret}, "basic": {"user": "u", "password": secret}}
    receive = HttpReceive(**{"auth": {way: ways.get(way, secret)}})
    adapter = HttpAdapter("shop", HttpSettings(), receive=receive)
    for headers in ({}, {header: value}, {header: value + secret}):
        with pytest.raises(Denied) as denied:
            adapter.accept(HttpRequest(method="POST", path="/shop", headers=headers, query={}, body=b"{}"))
        assert denied.value.status == 401
