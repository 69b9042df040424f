"""The servers that a benchmark needs: private ones, that go when it has ended."""

from __future__ import annotations

from typing import TypeVar

from bench.plan import Kit
from bench.process import CannotRun
from bench.rabbit import Node
from esb.testing.servers.postgresql import PostgresServer

Server = TypeVar("Server", Node, PostgresServer)


def start_rabbitmq(kit: Kit) -> Node:
    """A RabbitMQ node; installed where it is missing and can be. Raises ``CannotRun``."""
    kit.workshop.rabbitmq()
    kit.tell("starting RabbitMQ")
    return _start(kit, Node())


def start_postgresql(kit: Kit) -> PostgresServer:
    """A PostgreSQL that syncs its log to the disk, as in production. Raises ``CannotRun``."""
    kit.workshop.postgresql()
    kit.tell("starting PostgreSQL")
    return _start(kit, PostgresServer(durable=True))


def _start(kit: Kit, server: Server) -> Server:
    kit.open.callback(server.remove)  # also when it does not come up
    try:
        server.start()
    except (RuntimeError, TimeoutError, OSError) as error:
        raise CannotRun(f"a server does not start: {error}") from error
    return server
