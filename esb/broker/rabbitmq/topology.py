"""What exists in the broker: a quorum queue for each place where messages wait, one exchange for events, one delay
queue for each distinct delay.

::

    command ──▶ (default exchange) ──▶ esb.flow.sales
    event ────▶ esb.events (topic) ──▶ every queue bound to its key
    delayed ──▶ esb.delay.5s (fanout) ──▶ esb.delay.5s (queue, TTL 5 s) ──▶ esb.return (direct) ──▶ the queue named
                                                                              by the routing key
                                                                     └─ none ──▶ esb.unroutable

A delayed message carries the name of the queue it returns to as its routing key; the fanout lets it keep that. The
way back goes through an exchange of our own and not the default one for the sake of its alternate exchange: the
broker keeps what it cannot dead-letter and stops after 32 such messages, so a few messages for a queue that was
deleted would hold up every retry of that delay.
"""

from __future__ import annotations

import secrets
from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Exchange, Queue

from esb.broker import port

EVENTS = "esb.events"
RETURN = "esb.return"
UNROUTABLE = "esb.unroutable"
UNLIMITED = (4,)  # since then a queue drops what comes back too often, unless it says that it does not

Properties = dict[str, Any]  # what a server says of itself


def declare(channel: Any, topology: port.Topology, server: Properties) -> None:
    """Make sure all of it exists, and outlives a node that is killed the next moment.

    What exists is left as it is, whatever its kind: an upgrade never fails on it.
    """
    declare_events(channel)
    made = _declare_return(channel, server)
    for queue in topology.queues:
        made |= _declare_queue(channel, queue, server)
    for delay in topology.delays:
        made |= _declare_delay(channel, delay, server)
    for name, key in topology.stale:
        _unbind(channel, name, key)
    if made:
        _seal(channel, server)


def declare_events(channel: Any) -> None:
    """The topic exchange that events go to."""
    _exchange(channel, Exchange(EVENTS, "topic", durable=True))


def _declare_delay(channel: Any, seconds: float, server: Properties) -> bool:
    """The queue in which messages wait for so long, and the exchange in front of it; whether the queue is new."""
    name = delay_name(seconds)
    arguments = {
        "x-message-ttl": _millis(seconds),
        "x-dead-letter-exchange": RETURN,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    made = _queue(channel, name, arguments, server)
    _exchange(channel, Exchange(name, "fanout", durable=True))
    channel.queue_bind(name, name, "")
    return made


def delay_name(seconds: float) -> str:
    """The name of a delay's queue: ``esb.delay.5s``, ``esb.delay.500ms``."""
    millis = _millis(seconds)
    return f"esb.delay.{millis // 1000}s" if millis % 1000 == 0 else f"esb.delay.{millis}ms"


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def exists(channel: Any, queue: str) -> bool:
    """Whether there is such a queue; does not look at its arguments."""
    return ready(channel, queue) is not None


def ready(channel: Any, queue: str) -> int | None:
    """How many messages wait in a queue; None when there is no such queue."""
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except NotFound:
        return None  # py-amqp has opened the channel again


def drops_returned(channel: Any, server: Properties) -> bool:
    """Whether the server drops what comes back for the twentieth time, as 4.0 does in queues made before it.

    Told by the queue that every bus makes first: a declaration like it would be made now is refused.
    """
    if version(server) < UNLIMITED or not exists(channel, UNROUTABLE):
        return False
    try:
        _declare(channel, UNROUTABLE, {}, server)
    except PreconditionFailed as refused:  # py-amqp has opened the channel again
        return "x-delivery-limit" in str(refused)  # and not because it is of another kind
    return False


def version(server: Properties) -> tuple[int, ...]:
    """The server's version as numbers; (0,) when it does not say one."""
    text = str(server.get("version", "0"))
    return tuple(int(part) for part in text.partition("-")[0].split(".") if part.isdigit()) or (0,)


def _declare_return(channel: Any, server: Properties) -> bool:
    made = _queue(channel, UNROUTABLE, {}, server)
    _exchange(channel, Exchange(UNROUTABLE, "fanout", durable=True))
    channel.queue_bind(UNROUTABLE, UNROUTABLE, "")
    _exchange(channel, Exchange(RETURN, "direct", durable=True, arguments={"alternate-exchange": UNROUTABLE}))
    return made


def _declare_queue(channel: Any, queue: port.Queue, server: Properties) -> bool:
    arguments: Properties = {"x-max-length": queue.limit, "x-overflow": "reject-publish"} if queue.limit else {}
    if queue.single:
        arguments["x-single-active-consumer"] = True
    if queue.expires:
        arguments["x-expires"] = _millis(queue.expires)
    made = _queue(channel, queue.name, arguments, server)
    channel.queue_bind(queue.name, RETURN, queue.name)
    for key in queue.events:
        channel.queue_bind(queue.name, EVENTS, key)
    return made


def _queue(channel: Any, name: str, arguments: Properties, server: Properties) -> bool:
    if exists(channel, name):
        return False
    _declare(channel, name, arguments, server)
    return True


def _seal(channel: Any, server: Properties) -> None:
    """Have the node write down the queue that was made last, by making one more.

    The name of that one alone stays in its memory for half a second. A node that is killed meanwhile has the queue
    afterwards with no leader and nothing in it, though it confirmed what was put there (seen on 3.10.8 and 4.0.5).
    """
    name = f"esb.seal.{secrets.token_hex(4)}"
    _declare(channel, name, {"x-expires": 60_000}, server)
    channel.queue_delete(name)


def _declare(channel: Any, name: str, arguments: Properties, server: Properties) -> None:
    quorum: Properties = {"x-queue-type": "quorum", **arguments}
    if version(server) >= UNLIMITED:
        quorum["x-delivery-limit"] = -1
    Queue(name, durable=True, queue_arguments=quorum)(channel).queue_declare()


def _exchange(channel: Any, exchange: Exchange) -> None:
    try:
        channel.exchange_declare(exchange.name, exchange.type, passive=True)
    except NotFound:
        exchange(channel).declare()


def _unbind(channel: Any, queue: str, key: str) -> None:
    if exists(channel, queue):
        channel.queue_unbind(queue, EVENTS, key)
