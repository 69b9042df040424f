"""Every error of the ingress as a problem (RFC 9457), the framework's own included."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from esb.errors import ContractError, DecodeError, MessageError, RoutingError
from esb.ports import Denied

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "5"  # seconds; the broker or the store is away


class Problem(Exception):  # noqa: N818 - an answer, not a failure of the bus
    """Ends a request with this problem. ``kind`` names it where the status alone would not (``contract``)."""

    def __init__(
        self, status: int, detail: str, kind: str = "", headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """As the answer to send."""
        body = {
            "type": f"urn:esb:problem:{self.kind.replace(' ', '-')}" if self.kind else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return Response(msgspec.json.encode(body), self.status, self.headers, MEDIA_TYPE)


def refused(error: MessageError) -> Problem:
    """The problem for a message that may not pass: 400 unreadable, 422 against its contract, 503 no place for it."""
    if isinstance(error, RoutingError):
        return unavailable(str(error))
    if isinstance(error, DecodeError):
        return Problem(400, str(error), error.kind)
    violations = error.violations if isinstance(error, ContractError) else ()
    more: dict[str, Any] = {}
    if violations:
        more["violations"] = [{"pointer": pointer, "detail": text} for pointer, text in violations]
    return Problem(422, str(error), error.kind, **more)


def unavailable(detail: str) -> Problem:
    """The bus cannot say that the message is safe: the caller repeats it, with the same id."""
    return Problem(503, detail, "unavailable", {"Retry-After": RETRY_AFTER})


async def on_problem(request: Request, error: Exception) -> Response:
    """Handles :class:`Problem`."""
    assert isinstance(error, Problem)
    return error.response()


async def on_denied(request: Request, error: Exception) -> Response:
    """Handles what an adapter says no to."""
    assert isinstance(error, Denied)
    return Problem(error.status, str(error), headers=error.headers).response()


async def on_framework(request: Request, error: Exception) -> Response:
    """Handles Starlette's own 404 and 405."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    texts = {404: f"nothing listens at {request.url.path}", 405: f"{request.url.path} does not take {request.method}"}
    return Problem(error.status_code, texts.get(error.status_code, error.detail), headers=headers).response()


async def on_bug(request: Request, error: Exception) -> Response:
    """Handles what nobody foresaw; what it was stands in the log, not in the answer."""
    return Problem(500, "the bus failed to handle this request; its log says why").response()
