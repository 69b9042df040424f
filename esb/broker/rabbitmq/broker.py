"""The broker port on RabbitMQ 3.10 and later."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from esb.broker import port
from esb.broker.rabbitmq import topology
from esb.broker.rabbitmq.connection import Keeper, Link
from esb.broker.rabbitmq.consumer import RabbitMqConsumer, Restore
from esb.broker.rabbitmq.frames import frames_for
from esb.broker.rabbitmq.publisher import RabbitMqPublisher
from esb.broker_url import PLAIN, Settings, parse

_OLDEST = (3, 10)  # quorum queues with TTL and at-least-once dead-lettering
_SOUND = (3, 10, 20)  # before it dead-lettering could stop, and quorum queues lost consumers

_DROPS = (
    "queues of this virtual host were made before RabbitMQ 4, which drops a message from them when it has come back "
    "twenty times (from a stopped worker, from an endpoint whose breaker opened): give them a policy with "
    f"delivery-limit -1. This is seen by the queue {topology.UNROUTABLE}: delete that then, while it is empty and the "
    "bus is stopped"
)


class RabbitMqBroker:
    """Makes publishers and consumers; declares and counts on a connection of its own, which any thread may use.

    Args:
        url: ``amqp[s]://user:password@host:port/vhost?option=value``; see :class:`esb.broker_url.Settings`.
        name: shown in RabbitMQ's list of connections.

    Raises ``ConfigError`` for a URL that cannot be read. Nothing connects before it is needed.
    """

    def __init__(self, url: str, name: str = "esb") -> None:
        self._settings: Settings = parse(url)
        self._name = name
        self._keeper = Keeper(self._settings.heartbeat / 4)
        self._delays: set[float] = set()
        self._queues: dict[str, port.Queue] = {}  # as they were declared last
        self._link = self._keeper.keep(
            Link(self._settings, f"{name} control", lambda channel: None, frames_for(self._settings))
        )
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"<RabbitMqBroker {self._settings}>"

    def declare(self, topology_: port.Topology) -> None:
        """See the port."""
        self._control("declare queues in", lambda channel, server: topology.declare(channel, topology_, server))
        self._delays.update(topology_.delays)
        self._queues.update({queue.name: queue for queue in topology_.queues})

    def publisher(self, name: str = "") -> RabbitMqPublisher:
        """See the port."""
        return RabbitMqPublisher(self._settings, self._connection_name(name, "publisher"), self._keeper, self._delays)

    def consumer(self, queues: Sequence[str], prefetch: int, name: str = "") -> RabbitMqConsumer:
        """See the port."""
        publisher = self.publisher(f"{name} results".strip())
        title = self._connection_name(name, "consumer")
        return RabbitMqConsumer(self._settings, queues, prefetch, title, self._keeper, publisher, self._restore(queues))

    def depths(self, queues: Sequence[str]) -> dict[str, port.Depth]:
        """See the port. RabbitMQ tells what is ready; ``delayed`` counts the delays that this process knows."""
        delays = [topology.delay_name(delay) for delay in sorted(self._delays)]
        counts = self._control(
            "count messages in", lambda channel, _: {name: topology.ready(channel, name) for name in (*queues, *delays)}
        )
        found = {name: port.Depth(counts[name]) for name in queues if counts[name] is not None}
        return {**found, "delayed": port.Depth(sum(counts[name] or 0 for name in delays))}

    def purge(self, queue: str) -> int:
        """See the port; 0 for a queue that does not exist."""
        return int(self._control("purge a queue of", lambda channel, _: _purge(channel, queue)))

    def check(self) -> str:
        """See the port."""
        return self._control("reach", lambda _, server: _describe(self._settings, server))

    def hazard(self) -> str:
        """See the port."""
        return _DROPS if self._control("look at the queues of", topology.drops_returned) else ""

    def close(self) -> None:
        """Ends the control connection and the heartbeats; publishers and consumers are closed by their owners."""
        self._keeper.stop()
        with self._guard:
            self._link.close()

    # --- inside -----------------------------------------------------------------------------------------------

    def _connection_name(self, name: str, role: str) -> str:
        return f"{self._name} {name}" if name else f"{self._name} {role}"

    def _restore(self, queues: Sequence[str]) -> Restore:
        """Declares those of these queues again that were declared here: somebody deleted one under its consumer."""

        def restore(channel: Any, server: topology.Properties) -> None:
            known = tuple(self._queues[name] for name in queues if name in self._queues)
            topology.declare(channel, port.Topology(known), server)

        return restore

    def _control(self, attempt: str, work: Any) -> Any:
        """Do something on the control channel; a connection that died while idle is replaced silently."""
        with self._guard:
            self._link.refresh()
            self._link.open()
            with self._link.failures(attempt), self._link.exclusive():
                return work(self._link.channel, self._link.server)


def _purge(channel: Any, queue: str) -> int:
    return int(channel.queue_purge(queue)) if topology.exists(channel, queue) else 0


def _describe(settings: Settings, server: topology.Properties) -> str:
    sentence = f"{server.get('product', 'AMQP server')} {server.get('version', '?')} at {settings}"
    if settings.frames == PLAIN:
        sentence += " (frames=plain: slower)"
    found = topology.version(server)
    if found < _OLDEST:
        return f"{sentence}: too old, 3.10 is needed for delayed retries that lose nothing"
    if found < _SOUND:
        return f"{sentence}: works; 3.10.20 or later fixes quorum queues that stop dead-lettering or lose consumers"
    return sentence
