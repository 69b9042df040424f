"""Frames by py-amqp alone: each is read and written by the library, with nothing of ours in the stream of bytes.

For the day on which a server, a proxy or a release of py-amqp disagrees with what is done in bulk. See :mod:`.frames`.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import amqp
from amqp.method_framing import frame_handler
from kombu.transport import pyamqp

from esb.broker.port import Outgoing
from esb.broker.rabbitmq.budget import Budget
from esb.broker.rabbitmq.confirms import destination
from esb.broker.rabbitmq.decoder import interpret, read_properties
from esb.broker.rabbitmq.readers import Frame
from esb.broker.rabbitmq.wire import AROUND, PROPERTY_PREFIX, Write, short, too_large
from esb.broker_url import Settings
from esb.message import Message, to_headers

_AT_ONCE = 256  # events handled before somebody looks at what they brought
_MOMENT = 0.01  # seconds for the rest of a frame. Never 0: py-amqp would turn in circles until it is there
_HEADER = 2  # type of a frame (4.2.3)
_PERSISTENT = 2
_FIXED, _FIELD = 21, 6  # bytes of a header frame, and of a field in it, besides the texts in them


class Raw:
    """A delivery as py-amqp hands it out."""

    __slots__ = ("body", "consumer", "properties", "redelivered", "tag", "target")

    def __init__(self, content: amqp.Message) -> None:
        info = content.delivery_info
        self.tag: int = info["delivery_tag"]
        self.consumer: bytes = info["consumer_tag"].encode()
        self.redelivered = int(info["redelivered"])
        self.target: bytes = info["routing_key"].encode("utf-8", "surrogatepass")
        self.properties: dict[str, Any] = content.properties
        self.body: bytes = content.body or b""  # a text where there is none


class PlainFrames:
    """``delivered`` receives each delivery that ``budget`` admits; without it this connection takes nothing."""

    transport = pyamqp.Transport

    def __init__(
        self, settings: Settings, delivered: Callable[[Raw], None] | None, budget: Budget | None = None
    ) -> None:
        self._settings = settings
        self._delivered = delivered
        self._budget = budget or Budget()
        self._connection: Any = None
        self._channel: Any = None
        self._readable = select.poll()

    def handler(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
        """py-amqp's own, but for properties that it cannot read: they would end this connection, and the next."""
        usual = frame_handler(connection, callback)

        def handle(frame: Frame) -> bool:
            try:
                return bool(usual(frame))
            except Exception:  # whatever a stranger wrote there: the body is what counts
                kind, channel, payload = frame
                if kind != _HEADER or read_properties(payload) is not None:
                    raise
                return bool(usual((kind, channel, payload[:12] + b"\x00\x00")))  # 4.2.6.1: no properties

        return handle

    def attach(self, connection: Any, channel: Any) -> None:
        self._connection, self._channel = connection, channel
        channel.auto_decode = False  # bytes are carried, never interpreted
        # A time-out of the socket object ends a wait for the rest of a frame; after the kernel's py-amqp waits again.
        connection.sock.settimeout(self._settings.read_timeout)
        # Before each publish py-amqp would look for an alarm without a time-out; we look in between.
        connection.client_properties.get("capabilities", {})["connection.blocked"] = False
        self._readable = select.poll()
        self._readable.register(connection.sock, select.POLLIN)

    def detach(self) -> None:
        self._connection = self._channel = None

    def handle(self) -> bool:
        """TLS decrypts a record at a time, and what is left of one is seen by no poll."""
        return self._pending() and self.receive()

    def receive(self) -> bool:
        """As many events as there are at the moment. Of half a frame py-amqp keeps what it has."""
        for _ in range(_AT_ONCE):
            try:
                self._live.drain_events(timeout=_MOMENT)
            except TimeoutError:
                break
            if self._budget.full or not (self._pending() or self._readable.poll(0)):
                break
        return True

    def consume(self, queue: str, tag: str, cancelled: Callable[[str], None]) -> None:
        self._channel.basic_consume(queue, tag, callback=self._on_delivery, on_cancel=cancelled)

    def decode(self, raw: Raw) -> tuple[Message, dict[str, str]]:
        return interpret(raw.properties, raw.body)

    def publish(self, batch: Sequence[Outgoing]) -> list[Write]:
        return [self._publishing(each) for each in batch]

    def ack(self, acks: Iterable[tuple[int, bool]]) -> list[Write]:
        return [partial(self._channel.basic_ack, tag, multiple) for tag, multiple in acks]

    def reject(self, tags: Iterable[int]) -> list[Write]:
        return [partial(self._channel.basic_reject, tag, requeue=True) for tag in tags]

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _live(self) -> Any:
        if self._connection is None:
            raise ConnectionResetError("the connection was lost")
        return self._connection

    def _pending(self) -> bool:
        pending = getattr(self._live.sock, "pending", None)
        return pending is not None and pending() > 0

    def _on_delivery(self, content: amqp.Message) -> None:
        if self._delivered is None:
            return
        raw = Raw(content)
        if self._budget.admits():
            self._budget.held += len(raw.body)
            self._delivered(raw)
        else:
            self._budget.left_out.append(raw.tag)

    def _publishing(self, each: Outgoing) -> Write:
        exchange, key = map(short, destination(each))
        content = _content(each, self._live.frame_max)
        timeout = self._settings.write_timeout
        return partial(self._channel.basic_publish, content, exchange, key, mandatory=True, timeout=timeout)


def _content(each: Outgoing, frame_max: int) -> amqp.Message:
    """A message as py-amqp takes it. As bytes, texts are long strings, and come out as the encoder writes them."""
    message = each.message
    headers = to_headers(message) | {PROPERTY_PREFIX + name: value for name, value in each.properties.items()}
    table = {short(name): value.encode("utf-8", "replace") for name, value in headers.items()}
    kind, id, room = short(message.content_type), short(message.id), frame_max - AROUND
    size = _FIXED + len(kind) + len(id) + sum(_FIELD + len(name) + len(value) for name, value in table.items())
    if size > room:
        raise too_large(message, size, room)
    return amqp.Message(
        message.body, content_type=kind, application_headers=table, delivery_mode=_PERSISTENT, message_id=id
    )
