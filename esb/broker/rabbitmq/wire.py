"""AMQP 0-9-1 frames of what every message makes us say: publish, ack, reject. What comes in is read by ``frames``.

py-amqp serialises them too, from generic descriptions and one socket call each; at thousands of messages a second
that is most of the time spent. All other methods are left to it. Section numbers refer to the AMQP 0-9-1
specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from struct import pack

from esb.errors import MessageError
from esb.message import Message, common_headers, own_headers

PROPERTY_PREFIX = "x-esb-"
Write = Callable[[], object]  # says something, at once

_ACK = b"\x00\x3c\x00\x50"
_REJECT = b"\x00\x3c\x00\x5a"
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
_END = b"\xce"
_MANDATORY = b"\x01"
# Content property flags (4.2.6.1): content type, headers, delivery mode, message id.
FLAGS = 0x8000 | 0x2000 | 0x1000 | 0x0080
_PERSISTENT = b"\x02"
_FRAME = struct.Struct(">BHI")  # 4.2.3: type, channel, size of the payload
_CONTENT = struct.Struct(">HHQH")  # 4.2.6.1: class, weight, size of the body, flags
_HEAD = struct.Struct(">BHIHHQH")  # the same with what is in front of any payload
_SIZES = tuple(size.to_bytes(4, "big").decode("latin-1") for size in range(128))
AROUND = 8  # bytes of a frame that are not payload: seven before it, the end mark behind it
CACHED = 4096  # of each sort that an encoder or decoder keeps: a stranger may send ever new ones


def ack(channel: int, tag: int, multiple: bool = False) -> bytes:
    """A basic.ack frame; ``multiple``: also for every delivery before it."""
    return pack(">BHI4sQBB", 1, channel, 13, _ACK, tag, multiple, 0xCE)


def reject(channel: int, tag: int) -> bytes:
    """A basic.reject frame that puts the delivery back into its queue."""
    return pack(">BHI4sQBB", 1, channel, 13, _REJECT, tag, True, 0xCE)


class Encoder:
    """Builds the frames of publishes on one channel; what is constant per destination and header name is kept."""

    def __init__(self, channel: int, frame_max: int) -> None:
        self._channel = channel
        self._room = frame_max - AROUND
        self._methods: dict[tuple[str, str], bytes] = {}
        self._names: dict[str, str] = {}
        self._common: dict[tuple[str, int, str], str] = {}

    def publish(self, exchange: str, key: str, message: Message, properties: Mapping[str, str]) -> bytes:
        """Method, header and body frames of one persistent, mandatory publish.

        Raises ``MessageError`` when the headers do not fit into one frame, which the protocol demands.
        """
        method = self._methods.get((exchange, key)) or self._method(exchange, key)
        body, kind, id = message.body, _short(message.content_type), _short(message.id)
        fields = self._fields(message, properties)
        size = _CONTENT.size + len(kind) + 4 + len(fields) + 1 + len(id)
        if size > self._room:
            raise too_large(message, size, self._room)
        head = _HEAD.pack(2, self._channel, size, 60, 0, len(body), FLAGS)
        table = len(fields).to_bytes(4, "big")
        return b"".join((method, head, kind, table, fields, _PERSISTENT, id, _END, *self._body(body)))

    def _method(self, exchange: str, key: str) -> bytes:
        if len(self._methods) >= CACHED:
            self._methods.clear()
        payload = _PUBLISH + _short(exchange) + _short(key) + _MANDATORY
        frame = _FRAME.pack(1, self._channel, len(payload)) + payload + _END
        self._methods[exchange, key] = frame
        return frame

    def _fields(self, message: Message, properties: Mapping[str, str]) -> bytes:
        """All headers. What messages of one kind have in common is written once."""
        kind = message.type, message.version, message.source
        common = self._common.get(kind)
        if common is None:
            if len(self._common) >= CACHED:
                self._common.clear()
            common = self._common[kind] = self._table(common_headers(*kind))
        text = self._table(message.headers) + common + self._table(own_headers(message))  # of two, the last counts
        if properties:
            text += self._table({PROPERTY_PREFIX + name: value for name, value in properties.items()})
        return text.encode("latin-1")

    def _table(self, headers: Mapping[str, str]) -> str:
        """Fields of a table (4.2.5.5), all long strings, as text in Latin-1, in which each byte is one character.

        Names are known and values short and ASCII, nearly always. The innermost loop of publishing, hence no calls.
        """
        names, sizes = self._names, _SIZES
        parts: list[str] = []
        try:
            for name, value in headers.items():
                parts += names[name], sizes[len(value)], value
        except (KeyError, IndexError):
            return self._careful_table(headers)
        text = "".join(parts)
        return text if text.isascii() else self._careful_table(headers)

    def _careful_table(self, headers: Mapping[str, str]) -> str:
        """The same for new names, and for long values and such in other alphabets."""
        parts: list[str] = []
        for name, value in headers.items():
            text = value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")
            parts += (self._names.get(name) or self._name(name), len(text).to_bytes(4, "big").decode("latin-1"), text)
        return "".join(parts)

    def _name(self, name: str) -> str:
        if len(self._names) >= CACHED:
            self._names.clear()
        encoded = self._names[name] = (_short(name) + b"S").decode("latin-1")
        return encoded

    def _body(self, body: bytes) -> list[bytes]:
        room, channel = self._room, self._channel
        if 0 < len(body) <= room:
            return [_FRAME.pack(3, channel, len(body)), body, _END]
        cuts = [body[start : start + room] for start in range(0, len(body), room)]
        return [part for cut in cuts for part in (_FRAME.pack(3, channel, len(cut)), cut, _END)]


def too_large(message: Message, size: int, room: int) -> MessageError:
    """Says of which message the headers do not fit into one frame; both in bytes."""
    return MessageError(f"the headers of message {message.id} take {size} bytes; the broker takes {room} at most")


def body_too_large(message: Message, limit: int) -> MessageError:
    """Says of which message the body is more than the server takes; the limit in bytes."""
    return MessageError(
        f"message {message.id} has {len(message.body)} bytes; RabbitMQ takes {limit} at most: raise max_message_size "
        "in its configuration, or let the flow send less (split, claim)"
    )


def short(text: str) -> bytes:
    """What goes into a short string (4.2.5.3): 255 bytes; what is longer is cut, never in the middle of a character."""
    data = text.encode("utf-8", "replace")
    if len(data) > 255:
        data = data[:255].decode("utf-8", "ignore").encode()
    return data


def _short(text: str) -> bytes:
    data = short(text)
    return bytes((len(data),)) + data
