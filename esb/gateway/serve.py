"""Runs the ingress on a port of its own until it is told to stop."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import uvicorn

from esb.errors import EsbError

DRAIN = 30  # seconds that requests under way may take after a stop
HEADERS = 64 * 1024  # bytes of a request's head; h11 answers 400 to more
KEEP_ALIVE = 60  # seconds; longer than what clients wait between calls, so that none writes into a closed connection


class Listen(Protocol):
    """Where to listen: the ``http`` part of the configuration."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Server(uvicorn.Server):
    """uvicorn, but a signal only ends ``run``: what happens then is the caller's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again after stopping, which would skip the caller's clean-up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Stop taking requests, finish those under way, return from ``run``. Safe from any thread."""
        self.should_exit = True


def serve(app: Any, listen: Listen, started: Callable[[str], None]) -> None:
    """Listen, call ``started`` with the address (its real port where 0 was asked for), and serve until a signal.

    Raises ``EsbError`` when the port cannot be had.
    """
    with bind(listen.host, listen.port) as listener:
        started(address(listen.host, listener))
        make_server(app).run(sockets=[listener])


def make_server(app: Any) -> Server:
    """A server with the bus's limits; ``run(sockets=[…])`` blocks, ``stop()`` ends it."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEADERS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
    )
    return Server(config)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ``EsbError`` with what to do."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise EsbError(f"cannot listen on {host}, port {port}: {_advice(error)}") from error


def address(host: str, listener: socket.socket) -> str:
    """How to reach a listener from this machine."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program has it; set http.port in esb.yaml to another one, or to 0 for any that is free"
    if error.errno == errno.EACCES:
        return "this user may not have it; set http.port in esb.yaml to one above 1023"
    return f"{error.strerror or error}; set http.host in esb.yaml to an address of this machine"
