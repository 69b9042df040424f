"""A TCP proxy on loopback: a network that falls silent, is cut, is slow, or changes what it carries."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable


class Wire:
    """What one connection does to the bytes it carries: nothing. Each direction is called on a thread of its own."""

    def to_server(self, data: bytes) -> bytes:
        """What goes on to the server instead."""
        return data

    def to_client(self, data: bytes) -> bytes:
        """What goes back to the client instead."""
        return data


class Proxy:
    """Forwards every connection to one target until told otherwise.

    ``lag``: seconds by which everything that passes is held up, in each direction; may be set at any time.

    Args:
        target: host and port of the server.
        tls: answer clients with TLS (the server itself is spoken to without).
        port: to listen on; any that is free unless given.
        wire: makes what a connection passes through.
    """

    def __init__(
        self,
        target: tuple[str, int],
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        wire: Callable[[], Wire] = Wire,
    ) -> None:
        self.lag = 0.0
        self._target = target
        self._tls = tls
        self._wire = wire
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Connections stay open, and nothing passes any more in either direction."""
        self._flowing.clear()

    def resume(self) -> None:
        """What was held back passes, and all that follows."""
        self._flowing.set()

    def cut(self) -> None:
        """Close the connections there are; new ones are let through."""
        for each in tuple(self._sockets):
            _shut(each)

    def close(self) -> None:
        """Cut, and accept no more."""
        _shut(self._listener)
        self._listener.close()
        self._flowing.set()
        self.cut()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client = self._tls.wrap_socket(client, server_side=True) if self._tls else client
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        pair, wire = {client, server}, self._wire()
        for each in pair:  # else a packet behind another waits 40 ms for that one's acknowledgement
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets |= pair
        back = threading.Thread(target=self._pump, args=(server, client, wire.to_client), daemon=True)
        back.start()
        self._pump(client, server, wire.to_server)
        back.join()
        self._sockets -= pair
        for each in pair:
            each.close()

    def _pump(self, source: socket.socket, sink: socket.socket, passing: Callable[[bytes], bytes]) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                if self.lag:
                    time.sleep(self.lag)
                sink.sendall(passing(data))
        except (OSError, ValueError):
            pass  # one side is gone; the other follows
        _shut(source)
        _shut(sink)


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except (OSError, ValueError):
        pass
