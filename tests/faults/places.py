"""Where a bus under fire stands: on SQLite alone, or on servers that may be killed, with wires that may be cut."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from esb.testing.proxy import Proxy, Wire
from tests.faults.confirms import Whim
from tests.faults.tables import Tables


class Link:
    """A network between the bus and something else: a proxy that keeps its port when it refuses for a while."""

    def __init__(self, url: str, wire: Callable[[], Wire] = Wire) -> None:
        """Args: where it leads."""
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._wire = wire
        self.proxy = Proxy(self._target, wire=wire)
        self.url = through(url, self.proxy.port)

    def refuse(self) -> None:
        """Connections end, and new ones are refused."""
        self.proxy.close()

    def accept(self) -> None:
        """The end of :meth:`refuse`."""
        self.proxy = Proxy(self._target, port=self.proxy.port, wire=self._wire)


class Place:
    """Addresses as the bus sees them (behind links) and as the tests do, and the servers."""

    def __init__(self, name: str, tables: Tables, broker: str = "embedded", database: str = "embedded") -> None:
        """Args: what it is called, and addresses without links."""
        self.name = name
        self.tables = tables
        self.broker = broker
        self.database = database
        self.links: dict[str, Link] = {}
        self.whim = Whim(random.Random(0))
        self.rabbitmq: Any = None
        self.postgresql: Any = None

    def address(self, what: str) -> str:
        """Of ``broker`` or ``database``, as the bus sees it."""
        return self.links[what].url if what in self.links else str(getattr(self, what))

    def close(self) -> None:
        for link in self.links.values():
            link.proxy.close()


def embedded(root: Path) -> Place:
    """SQLite alone."""
    return Place("embedded", Tables(root))


def servers(root: Path, rabbitmq: Any, postgresql: Any, heartbeat: int = 15) -> Place:
    """RabbitMQ and PostgreSQL, each behind a link; the tables of other systems behind one of their own.

    Args:
        heartbeat: seconds; a broker that is silent for twice as long is gone.
    """
    links = {"tables": Link(postgresql.url)}
    tables = Tables(
        root, postgresql.database(), postgresql.database(), lambda url: through(url, links["tables"].proxy.port)
    )
    place = Place("servers", tables, f"{rabbitmq.vhost()}?heartbeat={heartbeat}", postgresql.database())
    place.rabbitmq, place.postgresql, place.links = rabbitmq, postgresql, links
    links["broker"] = Link(place.broker, place.whim.wire)
    links["database"] = Link(place.database)
    return place


def through(url: str, port: int) -> str:
    """The same address, by another port of this machine."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"))
