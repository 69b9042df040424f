"""How tests talk to the stand-in systems."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

ANY_PORT = {"warehouse": 0, "search": 0}


def call(
    method: str, url: str, document: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Status, parsed body and headers (names in small letters)."""
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        body = None if document is None else json.dumps(document)
        connection.request(method, url.removeprefix(f"{place.scheme}://{place.netloc}"), body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()
