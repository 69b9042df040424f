"""Runs applications, each on a port of its own, until told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import msgspec
import uvicorn

from esb.gateway.listen import Listen, address, bind
from esb.gateway.protocol import HEAD, quick_loop, quick_protocol
from esb.wake import Stop

DRAIN = 30  # seconds that requests under way may take after a stop
TICK = 1.0  # seconds for which the date in answers holds
KEEP_ALIVE = 60  # seconds; longer than what clients wait between calls, so that none writes into a closed connection


class Site(msgspec.Struct, frozen=True):
    """An ASGI application and where it listens. ``setting`` is the part of esb.yaml that says so."""

    app: Any
    listen: Listen
    setting: str = "http"


class Server(uvicorn.Server):
    """uvicorn, which is told to stop by a call instead of a signal, and sleeps while there is nothing to do."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's."""
        yield

    def stop(self) -> None:
        """Stop taking requests, finish those under way, return from ``run``. Safe from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """uvicorn's own looks ten times a second whether to stop."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK)


def serve(sites: Sequence[Site], started: Callable[[list[str]], None], stopped: Stop) -> None:
    """Listen, call ``started`` with each address (its real port where 0 was asked for), serve until ``stopped``.

    Raises ``EsbError`` when a port cannot be had.
    """
    with ExitStack() as stack:
        listeners = [stack.enter_context(bind(s.listen.host, s.listen.port, s.setting)) for s in sites]
        started([address(site.listen.host, listener) for site, listener in zip(sites, listeners, strict=True)])
        with asyncio.Runner(loop_factory=quick_loop()) as runner:
            runner.run(_serve([make_server(site.app) for site in sites], listeners, stopped))


async def _serve(servers: Sequence[Server], listeners: Sequence[socket.socket], stopped: Stop) -> None:
    """All of them side by side; when one ends, all do."""
    running = {asyncio.create_task(s.serve([own])) for s, own in zip(servers, listeners, strict=True)}
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(stopped.fileno(), told.set)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({*running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    asyncio.get_running_loop().remove_reader(stopped.fileno())
    for server in servers:
        server.stop()
    await asyncio.gather(*running)


def make_server(app: Any, protocol: Any = None) -> Server:
    """A server with the bus's limits; ``run(sockets=[…])`` blocks, ``stop()`` ends it.

    ``protocol``: what reads requests, as uvicorn has it; the quickest that is installed, unless told otherwise.
    """
    config = uvicorn.Config(
        app,
        http=protocol or quick_protocol(),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
    )
    return Server(config)
