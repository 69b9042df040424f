"""Listening, and stopping."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from esb.errors import EsbError
from esb.gateway.app import build
from esb.gateway.listen import bind
from esb.gateway.protocol import Limits
from esb.gateway.serve import Site, make_server, serve
from esb.testing.servers import wait_until
from esb.wake import Stop
from tests.gateway.conftest import Said, endpoint

PROGRAM = """
import signal
from types import SimpleNamespace
from esb.gateway.app import build
from esb.gateway.serve import Site, serve
from esb.wake import Stop
site = Site(build([], None, max_body=1), SimpleNamespace(host="127.0.0.1", port=0))
serve([site, site], lambda urls: print(*urls, flush=True), Stop(signal.SIGTERM))
print("cleaned up", flush=True)
"""


def test_a_taken_port_is_one_clear_sentence():
    """It names the port and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EsbError, match=rf"port {port}: another program has it; set http\.port"):
            serve([Site(None, SimpleNamespace(host="127.0.0.1", port=port))], print, Stop())


def test_a_foreign_address_is_one_clear_sentence():
    """An address that is not of this machine."""
    with pytest.raises(EsbError, match=r"set http\.host"):
        bind("192.0.2.1", 0)


def test_a_stop_ends_serving_and_the_caller_cleans_up():
    """The real ports are told, what is stopped stops both, and what stands behind ``serve`` runs."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        ports = [int(url.rpartition(":")[2]) for url in process.stdout.readline().split()]
        for port in ports:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/healthz", headers={"Connection": "close"})
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == "cleaned up\n"
        assert process.returncode == 0
    finally:
        process.kill()


def test_a_request_under_way_is_answered_before_the_server_stops():
    """Stopping is graceful: whoever was let in gets an answer."""
    future: Future = Future()
    entered = threading.Event()

    def intake(name, arrival):
        entered.set()
        return future

    with bind("127.0.0.1", 0) as listener:
        server = make_server(build([endpoint("orders")], intake, max_body=100))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)
        connection.request("POST", "/orders", b"{}")
        assert entered.wait(10)
        server.stop()
        future.set_result(Said())
        assert connection.getresponse().status == 202
        connection.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def limited(protocol) -> Iterator[Callable[[Limits], tuple[str, int]]]:
    """Serve two health checks and nothing else, within limits, by either reader of requests; the address."""
    with ExitStack() as stack:

        def start(limits: Limits) -> tuple[str, int]:
            listener = stack.enter_context(bind("127.0.0.1", 0))
            server = make_server(build([endpoint("orders")], lambda *_: done(), max_body=9), limits, protocol)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.stop)
            return listener.getsockname()

        yield start


def done() -> Future:
    """An intake for which everything is safe at once."""
    future: Future = Future()
    future.set_result(Said())
    return future


def ended(connection: socket.socket) -> bool:
    """Whether the other side hangs up, with what it says before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("sent", [b"", b"POST /orders HTTP/1.1\r\nHost:", b"\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(limited, sent):
    """Nothing, half a head, or what is not even the beginning of one."""
    with socket.create_connection(limited(Limits(head=0.2)), timeout=10) as connection:
        connection.sendall(sent)
        assert ended(connection)


@pytest.mark.parametrize("sent", [b"POST /orders HTTP/1.1\r\nHost:", b"\r\n"])
def test_a_second_head_that_does_not_come_ends_the_connection(limited, sent):
    """A request was answered, and the next begins without end."""
    with socket.create_connection(limited(Limits(head=0.2)), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(sent)
        assert ended(connection)


def test_a_body_that_nobody_wants_has_an_end(limited):
    """The answer is out, and what comes is read for its own sake."""
    with socket.create_connection(limited(Limits(head=0.2)), timeout=10) as connection, pytest.raises(OSError):
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        while True:
            connection.sendall(b"x" * 20_000)


def test_what_is_wrong_behind_an_answer_ends_the_connection_and_fills_no_log(limited, caplog):
    """The answer is out; the body that nobody wanted turns out to be none."""
    with socket.create_connection(limited(Limits()), timeout=10) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        connection.sendall(b"no number\r\n")
        assert ended(connection)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_connection_may_rest_between_requests(limited):
    """Longer than a head may take: it is kept for the next."""
    connection = http.client.HTTPConnection(*limited(Limits(head=0.2)), timeout=10)
    connection.connect()
    kept = connection.sock
    with socket.create_connection((connection.host, connection.port), timeout=10) as other:
        for _ in range(2):
            connection.request("POST", "/orders", b"{}")
            assert connection.getresponse().read()
            assert connection.sock is kept
            ended(other)  # so long it takes
    connection.close()


def test_connections_beyond_the_limit_are_told_to_come_again(limited):
    """Those that are there are served on, and a place that becomes free is given away."""
    address = limited(Limits(connections=2))
    first, second = (http.client.HTTPConnection(*address, timeout=10) for _ in range(2))
    for connection in (first, second):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    with socket.create_connection(address, timeout=10) as third:
        assert third.recv(65536).startswith(b"HTTP/1.1 503")
        assert ended(third)
    first.request("GET", "/healthz")
    assert first.getresponse().read()
    first.close()
    wait_until(lambda: healthy(address), 10, "the place of the one that left")
    second.close()


def healthy(address: tuple[str, int]) -> bool:
    """Whether a new connection is served."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


FEW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
sys.modules |= dict.fromkeys(sys.argv[1:])
"""


@pytest.mark.parametrize("missing", [[], ["uvloop", "httptools"]], ids=["uvloop", "asyncio"])
def test_more_connections_than_descriptors_take_none_from_the_role(missing):
    """The other port is served as before, and this one as soon as there is a place."""
    process = subprocess.Popen([sys.executable, "-c", FEW + PROGRAM, *missing], stdout=subprocess.PIPE, text=True)
    try:
        ports = [int(url.rpartition(":")[2]) for url in process.stdout.readline().split()]
        with ExitStack() as stack:
            address = ("127.0.0.1", ports[0])
            many = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(400)]
            assert many[-1].recv(65536).startswith(b"HTTP/1.1 503")
            assert healthy(("127.0.0.1", ports[1]))
            wait_until(lambda: descriptors(process.pid) < 100, 10, "those that are too many to be closed")
        wait_until(lambda: healthy(address), 10, "the places of those that left")
    finally:
        process.kill()
        process.wait()


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
