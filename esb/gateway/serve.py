"""Runs applications, each on a port of its own, until told to stop."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import msgspec
import uvicorn

from esb.gateway.listen import QUEUE, Listen, address, bind
from esb.gateway.protocol import HEAD, Limits, quick_loop, quick_protocol
from esb.wake import Stop

DRAIN = 30  # seconds that requests under way may take after a stop
TICK = 1.0  # seconds for which the date in answers holds
KEEP_ALIVE = 60  # seconds; longer than what clients wait between calls, so that none writes into a closed connection
OWN = 256  # descriptors that the role needs for itself: store, broker, log
FEWEST = 16  # connections to a listener, however few descriptors there are
AT_ONCE = 32  # connections that are taken before those taken earlier are looked at


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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """One number says how many connections the loop takes at once, and how many the system lets wait for that."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUE)

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
            limits = Limits(connections=connections(len(sites)))
            runner.run(_serve([make_server(site.app, limits) for site in sites], listeners, stopped))


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


def connections(listeners: int) -> int:
    """How many connections each of so many listeners may have, so that descriptors remain for the role itself."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = Limits().connections
    return usual if most == resource.RLIM_INFINITY else max(FEWEST, min(usual, (most - OWN) // listeners))


def make_server(app: Any, limits: Limits | None = None, protocol: Callable[[Limits], Any] = quick_protocol) -> Server:
    """A server with the bus's limits; ``run(sockets=[…])`` blocks, ``stop()`` ends it.

    ``protocol``: what makes the reader of requests; that of the quickest that is installed, unless told otherwise.
    """
    config = uvicorn.Config(
        app,
        http=protocol(limits or Limits()),
        ws="none",
        loop="asyncio",
        lifespan="off",
        backlog=AT_ONCE,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
    )
    return Server(config)
