"""A TCP proxy on loopback that a test can silence or cut: the network between a client and a server, going wrong."""

from __future__ import annotations

import socket
import ssl
import threading


class Proxy:
    """Forwards every connection to one target until told otherwise.

    Args:
        target: host and port of the server.
        tls: answer clients with TLS (the server itself is spoken to without).
        port: to listen on; any that is free unless given.
    """

    def __init__(self, target: tuple[str, int], tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._target = target
        self._tls = tls
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
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
        sockets, self._sockets = self._sockets, []
        for each in sockets:
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
        self._sockets += (client, server)
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
        except (OSError, ValueError):
            pass  # one side is gone; the other follows
        _shut(source)
        _shut(sink)


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except (OSError, ValueError):
        pass
