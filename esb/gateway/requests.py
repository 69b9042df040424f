"""A request, read within limits: size, time, type, and headers that may stand only once."""

from __future__ import annotations

import asyncio
import re

from starlette.requests import ClientDisconnect, Request

from esb.gateway.problems import Problem
from esb.ports import HttpRequest

SLOWEST = 30.0  # seconds that a body may take to arrive
LONGEST_TYPE = 256  # characters of a Content-Type
_CHARSET = re.compile(r';[ \t]*charset="?([^;" \t]*)', re.IGNORECASE)
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
    values: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        if name in values and name in _ONCE:
            raise Problem(400, f"the header {name} stands there more than once")
        values.setdefault(name, []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}


def _check_type(headers: dict[str, str], expected: str) -> None:
    """A missing Content-Type is taken for the endpoint's; another, or a compressed body, is refused."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "compressed bodies are not taken", headers={"Accept-Encoding": "identity"})
    given = headers.get("content-type")
    if given is not None and len(given) > LONGEST_TYPE:
        raise Problem(415, f"a Content-Type has at most {LONGEST_TYPE} characters", headers={"Accept": expected})
    if given not in (None, expected) and not _matches(given, expected):
        raise Problem(415, f"this endpoint takes {expected}, not {given}", headers={"Accept": expected})


def _matches(given: str, expected: str) -> bool:
    """The same media type, or one with its structured suffix (``application/ce+json`` is JSON)."""
    # By hand: what the standard library has for this takes the square of the header's length.
    media = given.partition(";")[0].strip().lower()
    charset = _CHARSET.search(given)
    if expected == "application/json" and charset and charset[1].lower() not in ("utf-8", "us-ascii"):
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
