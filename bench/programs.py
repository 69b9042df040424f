"""Peers: programs in other languages and with other libraries that do the same work. How each is got and started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from bench.order import HEADERS, order
from bench.process import CannotRun
from bench.workshop import PEERS, Workshop


class Program(msgspec.Struct, frozen=True):
    """How a peer is started: its command, and what stands behind the arguments that all peers take.

    ``body`` and ``properties`` are what its queue is filled with.
    """

    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = {}
    options: tuple[str, ...] = ()
    body: bytes = order()
    properties: Mapping[str, object] = msgspec.field(default_factory=lambda: {"application_headers": HEADERS})


class Peer(msgspec.Struct, frozen=True):
    """A program by its name. ``share`` is that of its side."""

    name: str
    title: str
    get: Callable[[Workshop], Program]
    share: float = 1.0


def relay(*options: str) -> Callable[[Workshop], Program]:
    """The relay in C."""
    return lambda shop: Program((shop.relay(),), options=options)


def python(environment: str, file: str) -> Callable[[Workshop], Program]:
    """A program in Python, and the name of its virtual environment."""
    return lambda shop: Program((shop.python(environment), PEERS / file))


def node(file: str, *options: str) -> Callable[[Workshop], Program]:
    """A program in JavaScript."""

    def get(shop: Workshop) -> Program:
        node, modules = shop.node()
        return Program((node, PEERS / file), {"NODE_PATH": str(modules)}, options)

    return get


def celery(shop: Workshop) -> Program:
    """A Celery worker. Its messages are tasks, in the format of its protocol 2."""
    task = {"lang": "py", "task": "order", "id": "4711", "root_id": "4711", "retries": 0}
    body = b'[[%s], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]' % order()
    properties = {"application_headers": {**task, **HEADERS}, "content_encoding": "utf-8", "correlation_id": "4711"}
    program = python("celery", "hop_celery.py")(shop)
    return msgspec.structs.replace(program, body=body, properties=properties)


def get_all(peers: tuple[Peer, ...], shop: Workshop) -> tuple[list[tuple[Peer, Program]], dict[str, str]]:
    """Those that can be run here, and why the others cannot."""
    found, absent = [], {}
    for peer in peers:
        try:
            found.append((peer, peer.get(shop)))
        except CannotRun as reason:
            absent[peer.title] = str(reason)
    return found, absent
