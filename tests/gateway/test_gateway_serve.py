"""Listening, and stopping."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from esb.errors import EsbError
from esb.gateway.app import build
from esb.gateway.listen import bind
from esb.gateway.serve import Site, make_server, serve
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
