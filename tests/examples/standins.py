"""How tests talk to the stand-in systems: in this process, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from esb.examples.retail.systems import service

WAREHOUSE = "{urn:retail:warehouse}"


@contextmanager
def served(handler: type[service.Handler]) -> Iterator[str]:
    """A stand-in that listens; its address."""
    with service.Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def exchange(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers (names in small letters)."""
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        connection.request(method, url.removeprefix(f"{place.scheme}://{place.netloc}"), body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def call(
    method: str, url: str, document: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """The same with JSON."""
    body = None if document is None else json.dumps(document).encode()
    status, content, found = exchange(method, url, body, headers)
    return status, json.loads(content), found
