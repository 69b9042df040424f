"""A request, read within limits: size, time, type, and headers that may stand only once."""

from __future__ import annotations

import asyncio
from email.message import Message as Header

from starlette.requests import ClientDisconnect, Request

from esb.gateway.problems import Problem
from esb.ports import HttpRequest

SLOWEST = 30.0  # seconds that a body may take to arrive
_ONCE = frozenset(
    ("authorization", "ce-id", "ce-subject", "content-encoding", "content-type", "idempotency-key", "traceparent")
)


async def read(request: Request, content_type: str, limit: int) -> HttpRequest:
    """The request with its whole body, at most ``limit`` bytes. Raises ``Problem`` (400, 408, 413, 415)."""
    headers = _headers(request)
    _check_type(headers, content_type)
    body = await _body(request, headers, limit)
    return HttpRequest(
        method=request.method, path=request.scope["path"], headers=headers, query=dict(request.query_params), body=body
    )


def _headers(request: Request) -> dict[str, str]:
    """Lower-case names; repeated ones are joined with a comma (RFC 9110, section 5.3), or refused if singular."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        if name in headers and name in _ONCE:
            raise Problem(400, f"the header {name} stands there more than once")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _check_type(headers: dict[str, str], expected: str) -> None:
    """A missing Content-Type is taken for the endpoint's; another, or a compressed body, is refused."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "compressed bodies are not taken", headers={"Accept-Encoding": "identity"})
    given = headers.get("content-type")
    if given not in (None, expected) and not _matches(given, expected):
        raise Problem(415, f"this endpoint takes {expected}, not {given}", headers={"Accept": expected})


def _matches(given: str, expected: str) -> bool:
    """The same media type, or one with its structured suffix (``application/ce+json`` is JSON)."""
    header = Header()
    header["Content-Type"] = given
    media, charset = header.get_content_type(), header.get_content_charset("utf-8")
    if expected == "application/json" and charset not in ("utf-8", "us-ascii"):
        return False
    return media in (expected, expected.replace("application/", "text/")) or media.endswith(
        "+" + expected.partition("/")[2]
    )


async def _body(request: Request, headers: dict[str, str], limit: int) -> bytes:
    """Counted as it comes in: a Content-Length may be missing, and is only a claim."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(SLOWEST):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError as error:
        raise Problem(408, f"the body took longer than {SLOWEST:g} s", headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Problem(400, "the caller hung up before the body was complete") from error
    return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(413, f"at most {limit} bytes are taken (http.max_body)", headers={"Connection": "close"})
