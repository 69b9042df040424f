"""A request, read within limits: size, time, type, and headers that may stand only once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import msgspec
from starlette.requests import ClientDisconnect, Request

from esb.gateway.problems import Problem, unavailable
from esb.gateway.room import Share
from esb.ports import HttpRequest

SLOWEST = 30.0  # seconds that a body may take to arrive
LONGEST_TYPE = 256  # characters of a Content-Type
_CHARSET = re.compile(r';[ \t]*charset="?([^;" \t]*)', re.IGNORECASE)
_ONCE = frozenset(
    ("authorization", "ce-id", "ce-subject", "content-encoding", "content-type", "idempotency-key", "traceparent")
)


def head(request: Request) -> HttpRequest:
    """The request without its body. Raises ``Problem`` (400)."""
    return HttpRequest(
        method=request.method,
        path=request.scope["path"],
        headers=_headers(request),
        query=dict(request.query_params),
        body=b"",
    )


async def read(request: Request, begun: HttpRequest, content_type: str, limit: int, share: Share) -> HttpRequest:
    """With its whole body, at most ``limit`` bytes. Raises ``Problem`` (400, 408, 413, 415, 503).

    Args: the request; its :func:`head`; the media type to expect; the limit; where the body's bytes are counted.
    """
    _check_type(begun.headers, content_type)
    return msgspec.structs.replace(begun, body=await _body(request, begun.headers, limit, share))


def _headers(request: Request) -> dict[str, str]:
    """Lower-case names; repeated ones are joined with a comma (RFC 9110, section 5.3), or refused if singular."""
    values: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        if name in values and name in _ONCE:
            raise Problem(400, f"the header {name} stands there more than once")
        values.setdefault(name, []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}


def _check_type(headers: Mapping[str, str], expected: str) -> None:
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


async def _body(request: Request, headers: Mapping[str, str], limit: int, share: Share) -> bytes:
    """Counted as it comes in: a Content-Length may be missing, and is only a claim."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    body = bytearray()  # a list of pieces would take more memory than what is counted, where they are small
    try:
        async with asyncio.timeout(SLOWEST):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit:
                    raise _too_large(limit)
                if not share.take(len(chunk)):
                    raise unavailable("the bodies of other requests fill the memory there is for them")
                body += chunk
    except TimeoutError as error:
        raise Problem(408, f"the body took longer than {SLOWEST:g} s", headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Problem(400, "the caller hung up before the body was complete") from error
    return bytes(body)


def _too_large(limit: int) -> Problem:
    return Problem(413, f"at most {limit} bytes are taken (http.max_body)", headers={"Connection": "close"})
