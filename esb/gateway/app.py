"""The ingress: one route for each endpoint that serves, and two for whoever watches the process.

::

    POST /orders    202 {"id": …, "correlation_id": …, "status": "accepted" | "duplicate"}
    GET  /healthz   200 while the process lives
    GET  /readyz    200 while a message would be taken

It knows HTTP, and what adapters tell it. What happens to an arrival is the intake's, which is handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from esb.config.serving import HEALTH, READY
from esb.errors import ConfigError, EsbError, MessageError
from esb.gateway import problems, requests
from esb.gateway.problems import Problem
from esb.gateway.room import Room
from esb.ports import Adapter, Arrival, Denied

PATIENCE = 30.0  # seconds that a caller waits for "it is safe"
LARGE = 64 * 1024  # bytes; decoding and checking more would hold up the other requests
MOST = 256  # requests at once; more wait outside, where they cost nothing


class Served(msgspec.Struct, frozen=True):
    """An endpoint that takes requests: its opened adapter, and the media type of its format."""

    endpoint: str
    adapter: Adapter
    content_type: str


class Answer(Protocol):
    """What the intake says about an arrival. ``error`` is set where it is refused."""

    @property
    def state(self) -> Literal["accepted", "duplicate", "refused"]: ...
    @property
    def id(self) -> str: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def error(self) -> MessageError | None: ...


Intake = Callable[[str, Arrival], "Future[Any]"]
"""Takes an arrival for an endpoint. The future is done when the message is safe, and fails with an ``EsbError`` when
nobody can say so; its result is an :class:`Answer`. Called on any thread."""


def everything_is_well() -> str:
    """The default for ``ready``."""
    return ""


def build(
    served: Sequence[Served],
    intake: Intake,
    *,
    max_body: int,
    ready: Callable[[], str] = everything_is_well,
    room: Room | None = None,
) -> Starlette:
    """The ASGI application.

    Args:
        served: the endpoints; their adapters say where they listen. ``ConfigError`` when two want the same path.
        intake: what becomes of an arrival.
        max_body: bytes; more is answered 413.
        ready: the reason why no message would be taken now, or nothing. May block; called on a thread.
        room: for the bodies of all requests, where other applications of the process share it.
    """
    _refuse_clashes(served)
    way_in = _WayIn(intake, max_body, asyncio.Semaphore(MOST), room or Room(max_body))
    app = Starlette(
        routes=[
            Route(HEALTH, _health, methods=["GET"]),
            Route(READY, _readiness(ready), methods=["GET"]),
            *(_route(one, way_in) for one in served),
        ],
        exception_handlers={
            Problem: problems.on_problem,
            Denied: problems.on_denied,
            HTTPException: problems.on_framework,
            Exception: problems.on_bug,
        },
    )
    # Where a redirect leads is what the Host header says, and http where a proxy ends TLS: credentials and body would
    # follow in clear.
    app.router.redirect_slashes = False
    return app


def _refuse_clashes(served: Sequence[Served]) -> None:
    owners = {HEALTH: "the bus itself", READY: "the bus itself"}
    for one in served:
        path, _ = one.adapter.path()
        if path in owners:
            raise ConfigError(
                f"endpoint {one.endpoint} listens at {path}, which belongs to {owners[path]}: give it another path"
            )
        owners[path] = f"endpoint {one.endpoint}"


class _WayIn(msgspec.Struct, frozen=True):
    """What all endpoints have together."""

    intake: Intake
    max_body: int
    gate: asyncio.Semaphore
    room: Room


def _route(served: Served, way: _WayIn) -> Route:
    path, methods = served.adapter.path()

    async def take(request: Request) -> Response:
        begun = requests.head(request)
        served.adapter.admit(begun)  # before the body, and a place among those who are waited for, are given away
        if way.gate.locked():
            raise problems.unavailable("too many requests at once")
        async with way.gate:
            with way.room.share() as share:
                whole = await requests.read(request, begun, served.content_type, way.max_body, share)
                return _answer(await _enter(way.intake, served.endpoint, served.adapter.accept(whole)))

    return Route(path, take, methods=list(methods))


async def _enter(intake: Intake, endpoint: str, arrival: Arrival) -> Answer:
    try:
        if len(arrival.body) > LARGE:
            future = await run_in_threadpool(intake, endpoint, arrival)
        else:
            future = intake(endpoint, arrival)
        return await _result(asyncio.wrap_future(future))
    except MessageError as error:
        raise problems.refused(error) from error
    except EsbError as error:
        raise problems.unavailable(f"the message is not known to be safe: {error}") from error
    except TimeoutError as error:
        raise problems.unavailable(f"the message was not safe within {PATIENCE:g} s") from error


async def _result(future: asyncio.Future[Answer]) -> Answer:
    """Waits without owning: a caller who hangs up must not cancel what others wait for in the same batch."""
    if not future.done():
        await asyncio.wait((future,), timeout=PATIENCE)
    if not future.done():
        raise TimeoutError
    return future.result()


def _answer(answer: Answer) -> Response:
    if answer.error is not None:
        raise problems.refused(answer.error)
    return _json({"id": answer.id, "correlation_id": answer.correlation_id, "status": answer.state}, 202)


async def _health(request: Request) -> Response:
    return _json({"status": "alive"}, 200)


def _readiness(ready: Callable[[], str]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        reason = await run_in_threadpool(ready)
        if reason:
            raise problems.unavailable(reason)
        return _json({"status": "ready"}, 200)

    return answer


def _json(document: dict[str, str], status: int) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")
