"""Where to listen, and whether that can be had; without the server, so that asking costs little memory."""

from __future__ import annotations

import errno
import socket
from typing import Protocol

from esb.errors import EsbError

QUEUE = 2048  # connections that wait to be taken


class Listen(Protocol):
    """Where to listen: the ``http`` or ``admin`` part of the configuration."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def bind(host: str, port: int, setting: str = "http") -> socket.socket:
    """A listening socket. Raises ``EsbError`` with what to do; ``setting`` is the part of esb.yaml that says where."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=QUEUE)
    except OSError as error:
        raise EsbError(f"cannot listen on {host}, port {port}: {_advice(error, setting)}") from error


def address(host: str, listener: socket.socket) -> str:
    """How to reach a listener from this machine."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _advice(error: OSError, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program has it; set {setting}.port in esb.yaml to another one, or to 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"this user may not have it; set {setting}.port in esb.yaml to one above 1023"
    return f"{error.strerror or error}; set {setting}.host in esb.yaml to an address of this machine"
