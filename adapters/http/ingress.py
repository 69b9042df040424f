"""A request from outside becomes an arrival: who calls, which id it has, what it is about."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from urllib.parse import unquote

from esb.adapters.http.settings import Auth
from esb.ports import Arrival, Denied, HttpRequest

LONGEST_ID = 255  # characters
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # a string of RFC 9651, section 3.3.3


def authenticate(auth: Auth, headers: Mapping[str, str]) -> None:
    """Compare in constant time. Raises ``Denied`` (401) and says what would be accepted, not what was wrong."""
    name, expected = auth.credentials()
    given = headers.get(name.lower(), "")
    if not auth.header:
        given, expected = _lower_scheme(given), _lower_scheme(expected)
    if auth.is_empty or not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise Denied(401, "the credentials are missing or wrong", {"WWW-Authenticate": auth.challenge()})


def _lower_scheme(credentials: str) -> str:
    """The scheme's case does not matter (RFC 9110, section 11.1). A header of one's own is taken as it is."""
    scheme, space, rest = credentials.partition(" ")
    return f"{scheme.lower()}{space}{rest}"


def arrival(request: HttpRequest) -> Arrival:
    """Id from ``ce-id`` or else ``Idempotency-Key``; subject and trace context where there are any."""
    headers = request.headers
    subject = headers.get("ce-subject")
    trace = headers.get("traceparent", "")
    return Arrival(
        body=request.body,
        content_type=headers.get("content-type", ""),
        id=_id(headers),
        subject=_text("ce-subject", unquote(subject)) if subject else None,
        traceparent=trace if _TRACEPARENT.fullmatch(trace) else "",
    )


def _id(headers: Mapping[str, str]) -> str | None:
    if "ce-id" in headers:
        return _text("ce-id", unquote(headers["ce-id"]))
    if "idempotency-key" in headers:
        return _text("Idempotency-Key", _unquoted(headers["idempotency-key"].strip()))
    return None


def _unquoted(key: str) -> str:
    """The draft wants a quoted string; many clients send it bare."""
    if not key.startswith('"'):
        return key
    match = _QUOTED.fullmatch(key)
    if not match:
        raise Denied(400, "the Idempotency-Key begins with a quotation mark and is not one quoted string")
    return re.sub(r"\\(.)", r"\1", match[1])


def _text(name: str, value: str) -> str:
    if not value or len(value) > LONGEST_ID or not value.isprintable():
        raise Denied(400, f"{name} must be 1 to {LONGEST_ID} printable characters")
    return value
