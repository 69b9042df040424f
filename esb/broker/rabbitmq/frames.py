"""How one connection says and hears what every message makes it say and hear: deliveries, publishes, acks.

Two implementations, chosen by ``frames=`` in the broker's URL: in bulk, with frames read and written here, and plain,
with nothing but py-amqp between us and the server. Everything rare is py-amqp's in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from esb.broker.port import Outgoing
from esb.broker.rabbitmq.budget import Budget
from esb.broker.rabbitmq.bulk import BulkFrames
from esb.broker.rabbitmq.plain import PlainFrames
from esb.broker.rabbitmq.readers import Confirms, Deliveries, Frame, Reader
from esb.broker.rabbitmq.wire import Write
from esb.broker_url import PLAIN, Settings
from esb.message import Message


class Raw(Protocol):
    """A delivery as it came, before anybody looked inside."""

    tag: int
    consumer: bytes  # the consumer's tag
    redelivered: int
    target: bytes  # routing key
    body: bytes


class Frames(Protocol):
    """Belongs to one link, and to its thread. What it does to the connection raises the driver's errors.

    What is to be said is made as a list of writes, each of which is done at once, with the connection held; between
    them the link listens.
    """

    transport: Any  # what kombu connects by

    def handler(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
        """py-amqp's hook for incoming frames."""
        ...

    def attach(self, connection: Any, channel: Any) -> None:
        """This is the connection from now on, logged in, with its channel."""
        ...

    def detach(self) -> None:
        """The connection is gone: what was half there will not be completed."""
        ...

    def handle(self) -> bool:
        """Handle what was taken from the socket earlier, where no poll sees it; whether there was anything."""
        ...

    def receive(self) -> bool:
        """Take from the readable socket what it has, and handle it. False: there was nothing after all."""
        ...

    def consume(self, queue: str, tag: str, cancelled: Callable[[str], None]) -> None:
        """Ask for a queue's messages; ``cancelled`` is told the tag when the server ends it."""
        ...

    def decode(self, raw: Any) -> tuple[Message, dict[str, str]]:
        """The message of a delivery, and the bus's own properties beside it; a foreign one is a message too."""
        ...

    def publish(self, batch: Sequence[Outgoing]) -> list[Write]:
        """Persistent and mandatory. Raises ``MessageError`` when the headers of one do not fit into a frame."""
        ...

    def ack(self, acks: Iterable[tuple[int, bool]]) -> list[Write]:
        """Tags, each with whether every delivery before it is meant too."""
        ...

    def reject(self, tags: Iterable[int]) -> list[Write]:
        """Back into their queue."""
        ...


def frames_for(
    settings: Settings,
    delivered: Callable[[Any], None] | None = None,
    confirmed: Callable[[int, bool], None] | None = None,
    budget: Budget | None = None,
) -> Frames:
    """As the settings say, for a connection that takes, for one that publishes, or for one that does neither.

    Args:
        delivered: receives each delivery that is kept, a :class:`Raw`.
        budget: says which are kept.
        confirmed: receives confirms where they come in bulk; those that do not are events of the channel.
    """
    if settings.frames == PLAIN:
        return PlainFrames(settings, delivered, budget)
    if delivered is not None:
        return BulkFrames(Deliveries(delivered, budget))
    return BulkFrames(Reader() if confirmed is None else Confirms(confirmed))
