"""The broker port: batch-shaped, so that no message costs a round trip of its own.

Two implementations stand behind it, ``rabbitmq`` (through kombu) and ``embedded`` (on SQLite); the scenarios of
``esb.testing.broker`` hold for both. Objects made here belong to the thread that made them; only ``wake`` and
``stop`` may be called from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol
from zlib import crc32

import msgspec

from esb.message import Message

MOST_OCTETS = 64 * 1024**2  # bytes of bodies that are enough for one consumer to hold

# Properties of Request-Reply (Hohpe & Woolf). A command may say where its answer goes …
REPLY_TO = "reply-to"  # the queue
CONTEXT = "context"  # text of the caller's, which comes back as it is
DEADLINE = "deadline"  # epoch seconds: what has not been sent by then is answered as failed
ASKED = "asked"  # how many failed answers the caller has had: a higher number asks again, an equal one is a copy
# … and this is what the answer carries.
REPLY = "reply"  # "done" or "failed"
ERROR_KIND = "error-kind"  # of a failure: the stable word,
ERROR = "error"  # what is shown to people,
ERROR_STEP = "error-step"  # and endpoint.operation;
EFFECT = "effect"  # "none", or "unknown" where it may have taken place all the same. Of a command: before this try
# What keeps its order says the key that it shares with others.
ORDER = "order"
LINES = 8  # queues over which the ordered messages to an endpoint are spread by their key


class Outgoing(msgspec.Struct, frozen=True):
    """One message to publish.

    ``to`` is a queue name, or with ``event=True`` the routing key of an event. ``delay`` (seconds) holds a command
    back before it appears in its queue. ``properties`` are the bus's own small headers (``esb-attempt`` …): they
    travel beside the message and never become part of it.
    """

    message: Message
    to: str
    event: bool = False
    delay: float = 0.0
    properties: dict[str, str] = {}


class Outcome(Enum):
    """What became of one publish."""

    CONFIRMED = "confirmed"  # persistent, in at least one queue
    RETURNED = "returned"  # no queue: a lost command, or an event nobody subscribed to
    REFUSED = "refused"  # nacked or over the queue's limit: not in the queue, try later


class Delivery(msgspec.Struct, eq=False):
    """A message as taken, with the right to settle it."""

    message: Message
    queue: str
    token: Any  # the implementation's: a delivery tag, a row id
    redelivered: bool = False  # somebody took it before and did not settle: a suspect
    properties: Mapping[str, str] = {}


class Depth(msgspec.Struct, frozen=True):
    """Messages of one queue: waiting, and taken but unsettled (-1: the broker does not tell)."""

    ready: int
    unsettled: int = -1


class Queue(msgspec.Struct, frozen=True):
    """A queue and the routing keys of events it wants (``order.placed.v1``; ``*`` and ``#`` as in AMQP topics)."""

    name: str
    events: tuple[str, ...] = ()
    limit: int = 0  # most messages waiting; 0: none. Beyond it publishing is REFUSED
    expires: float = 0.0  # seconds without a consumer after which a server may drop it; 0: never
    single: bool = False  # one consumer takes, in order; the next one when it is gone, what it held first


class Topology(msgspec.Struct, frozen=True):
    """Everything that must exist: queues, and each distinct delay in seconds. ``stale``: bindings to remove."""

    queues: tuple[Queue, ...]
    delays: tuple[float, ...] = ()
    stale: tuple[tuple[str, str], ...] = ()  # (queue, routing key)


class Transfer(Protocol):
    """Results of a batch on their way to the broker; see :meth:`Consumer.begin`."""

    @property
    def answered(self) -> bool:
        """Whether :meth:`conclude` will not have to wait: the broker has said what became of each result."""
        ...

    def conclude(self, commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """Wait for the outcomes, let ``commit`` record them, then settle what ``commit`` returns.

        Results are durable before ``commit`` runs, and nothing is settled before it returned. The embedded broker
        writes results and settlements in one transaction *after* ``commit`` (which is told the outcomes beforehand).
        Either way a crash leaves the inputs unsettled or everything done, and a repeat gives the same ids. If
        ``commit`` raises, nothing is settled. Raises ``BrokerDown`` when the outcomes cannot be known.
        """
        ...


class Publisher(Protocol):
    """Publishes batches, each confirmed."""

    def publish(self, batch: Iterable[Outgoing]) -> list[Outcome]:
        """One outcome per message, in order; returns when all are known.

        ``batch`` may be a generator: what it computes then overlaps with the broker's work.

        Raises ``BrokerDown`` when they cannot be known: then publish the whole batch again (same ids). Raises
        ``MessageError`` when one of them is too large for the broker, whatever became of the others: then publish each
        by itself.
        """
        ...

    def close(self) -> None: ...


class Consumer(Protocol):
    """Takes from a set of queues.

    Holds at most ``prefetch`` unsettled messages, and no further ones once their bodies have ``MOST_OCTETS`` bytes
    together; so a message larger than that passes too.
    """

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Up to ``limit`` messages; empty after ``timeout`` seconds or ``wake``. Raises ``BrokerDown``.

        ``limit`` 0 only waits (and keeps the connection alive): a worker whose hands are full still calls it.
        """
        ...

    def begin(self, batch: Iterable[Outgoing]) -> Transfer:
        """Publish the results of a batch, and do not wait for what the broker says of them.

        So the next batch can be computed meanwhile; transfers of one consumer are concluded in the order they began.
        """
        ...

    def transfer(self, batch: Iterable[Outgoing], commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """:meth:`begin` a transfer and conclude it at once."""
        ...

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with. Raises ``LeaseLost`` if they are no longer ours (then a copy runs elsewhere)."""
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Put these back, at their place, unblamed (not redelivered where the broker can)."""
        ...

    def pause(self) -> None:
        """Stop taking and put back what was prefetched but not handed out by ``take``."""
        ...

    def resume(self) -> None: ...

    def wake(self) -> None:
        """Make a waiting ``take`` return at once. Safe from any thread."""
        ...

    def close(self) -> None:
        """Put back everything unsettled."""
        ...


class Broker(Protocol):
    """Makes publishers and consumers; each gets connections of its own."""

    def declare(self, topology: Topology) -> None:
        """Make sure all of it exists; what exists is left as it is."""
        ...

    def publisher(self, name: str = "") -> Publisher: ...

    def consumer(self, queues: Sequence[str], prefetch: int, name: str = "") -> Consumer: ...

    def depths(self, queues: Sequence[str]) -> dict[str, Depth]:
        """How many messages lie in each; a queue that does not exist is left out. Delay queues count under
        the name ``delayed``."""
        ...

    def purge(self, queue: str) -> int:
        """Drop what waits in a queue; how many they were."""
        ...

    def check(self) -> str:
        """A short sentence about the server, or ``BrokerDown``."""
        ...

    def hazard(self) -> str:
        """What of the server's settings may lose messages, and what to do; "" for nothing. Raises ``BrokerDown``."""
        ...

    def close(self) -> None: ...


def flow_queue(name: str, ordered: bool = False) -> str:
    """Where messages for a flow wait. ``ordered``: for one that keeps their order, from a queue of one consumer.

    It has another name, since a queue stays as it was made.
    """
    return f"esb.flow.{name}.ordered" if ordered else f"esb.flow.{name}"


def saga_queue(name: str) -> str:
    """Where what starts sagas, answers to their calls and their timers wait."""
    return f"esb.saga.{name}"


def resume_queue(name: str) -> str:
    """Where answers to a flow's calls arrive."""
    return f"esb.flow.{name}.resume"


def endpoint_queue(name: str) -> str:
    """Where messages to be sent to an endpoint wait."""
    return f"esb.endpoint.{name}"


def line_queues(name: str) -> tuple[str, ...]:
    """Where ordered messages to be sent to an endpoint wait, each from a queue of one consumer."""
    return tuple(f"{endpoint_queue(name)}.p{number}" for number in range(LINES))


def line_queue(queue: str, key: str) -> str:
    """The one of :func:`line_queues` that all messages of a key go to; ``queue`` is the endpoint's."""
    return f"{queue}.p{crc32(key.encode('utf-8', 'replace')) % LINES}"


def inbound_queue(name: str) -> str:
    """Where raw arrivals of an endpoint wait that did not come through its adapter (`esb send`, a retry)."""
    return f"esb.in.{name}"


JOBS_QUEUE = "esb.jobs"  # where hints wait that a job is due


def event_key(type: str, version: int) -> str:
    """The routing key of an event: ``order.placed/v1`` is ``order.placed.v1``."""
    return f"{type}.v{version}" if version else type
