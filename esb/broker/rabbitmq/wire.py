"""AMQP 0-9-1 frames of the four methods that every message needs: publish, deliver, ack, reject.

py-amqp serialises them too, from generic descriptions and one socket call each; at thousands of messages a second
that is most of the time spent. All other methods are left to it, and so is every foreign message that is not made of
plain text headers. Section numbers refer to the AMQP 0-9-1 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from struct import pack, unpack_from
from typing import Any

import amqp

from esb.errors import MessageError
from esb.message import AMQP_PREFIX, JSON, RESERVED, Message, from_attributes, from_headers, to_headers

PROPERTY_PREFIX = "x-esb-"
DELIVER = b"\x00\x3c\x00\x3c"

_ACK = b"\x00\x3c\x00\x50"
_REJECT = b"\x00\x3c\x00\x5a"
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
_END = b"\xce"
_MANDATORY = b"\x01"
# Content property flags (4.2.6.1): content type, headers, delivery mode, message id.
_FLAGS = 0x8000 | 0x2000 | 0x1000 | 0x0080
_PERSISTENT = b"\x02"
_CONTENT = struct.Struct(">HHQH")
_FIELD = struct.Struct(">BI")  # what stands between a name and its value
_LONG_STRING = ord("S")
_SIZES = tuple(size.to_bytes(4, "big").decode("latin-1") for size in range(256))
_CACHED = 4096  # names kept by an encoder or decoder: a stranger may send ever new ones
# What a broker writes into headers of messages that it moved. Sent back, it takes part in cycle detection and routing.
_BROKERS_OWN = frozenset(
    {"x-death", "x-opt-deaths", "x-delivery-count", "x-acquired-count", "CC", "BCC"}
    | {f"x-{order}-death-{what}" for order in ("first", "last") for what in ("exchange", "queue", "reason")}
)

# Attributes of the message, application headers, properties of the bus, what the broker added.
_Sorted = tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]


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
        self._room = frame_max - 8
        self._methods: dict[tuple[str, str], bytes] = {}
        self._names: dict[str, str] = {}

    def publish(self, exchange: str, key: str, message: Message, properties: Mapping[str, str]) -> bytes:
        """Method, header and body frames of one persistent, mandatory publish.

        Raises ``MessageError`` when the headers do not fit into one frame, which the protocol demands.
        """
        method = self._methods.get((exchange, key)) or self._method(exchange, key)
        body = message.body
        header = self._header(message, properties)
        if len(header) > self._room:
            raise MessageError(
                f"the headers of message {message.id} take {len(header)} bytes; the broker takes {self._room} at most"
            )
        prefix = pack(">BHI", 2, self._channel, len(header))
        return b"".join((method, prefix, header, _END, *self._body(body)))

    def _method(self, exchange: str, key: str) -> bytes:
        if len(self._methods) >= _CACHED:
            self._methods.clear()
        payload = _PUBLISH + _short(exchange) + _short(key) + _MANDATORY
        frame = pack(">BHI", 1, self._channel, len(payload)) + payload + _END
        self._methods[exchange, key] = frame
        return frame

    def _header(self, message: Message, properties: Mapping[str, str]) -> bytes:
        headers = to_headers(message)
        for name, value in properties.items():
            headers[PROPERTY_PREFIX + name] = value
        fields = self._table(headers)
        return b"".join(
            (
                _CONTENT.pack(60, 0, len(message.body), _FLAGS),
                _short(message.content_type),
                len(fields).to_bytes(4, "big"),
                fields,
                _PERSISTENT,
                _short(message.id),
            )
        )

    def _table(self, headers: Mapping[str, str]) -> bytes:
        """A field table (4.2.5.5) of long strings. The innermost loop of publishing, hence no calls in it.

        It is put together as text in Latin-1, in which each byte is one character: nearly all values are ASCII and
        go in as they are, so that the whole table is encoded once.
        """
        names = self._names
        parts: list[str] = []
        for name, value in headers.items():
            text = value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")
            size = len(text)
            parts += (
                names.get(name) or self._name(name),
                _SIZES[size] if size < 256 else size.to_bytes(4, "big").decode("latin-1"),
                text,
            )
        return "".join(parts).encode("latin-1")

    def _name(self, name: str) -> str:
        if len(self._names) >= _CACHED:
            self._names.clear()
        encoded = self._names[name] = (_short(name) + b"S").decode("latin-1")
        return encoded

    def _body(self, body: bytes) -> list[bytes]:
        if not body:
            return []
        room = self._room
        parts: list[bytes] = []
        for start in range(0, len(body), room):
            part = body if len(body) <= room else body[start : start + room]
            parts += [pack(">BHI", 3, self._channel, len(part)), part, _END]
        return parts


class Raw:
    """A delivery as it came, before anybody looked inside."""

    __slots__ = ("body", "consumer", "header", "missing", "parts", "redelivered", "tag", "target")

    def __init__(self, payload: bytes) -> None:
        at = 5 + payload[4]
        self.consumer = payload[5:at]
        self.tag, self.redelivered = unpack_from(">QB", payload, at)
        at += 9
        at += 1 + payload[at]
        self.target = payload[at + 1 : at + 1 + payload[at]]
        self.header = b""
        self.body = b""
        self.missing = 0
        self.parts: list[bytes] | None = None

    def take_header(self, payload: bytes) -> bool:
        """The content header frame came; whether the delivery is complete with it."""
        self.header = payload
        (self.missing,) = unpack_from(">Q", payload, 4)
        return self.missing == 0

    def take_body(self, payload: bytes) -> bool:
        """A body frame came; whether the delivery is complete with it."""
        self.missing -= len(payload)
        if self.missing == 0 and self.parts is None:
            self.body = payload
            return True
        self.parts = self.parts or []
        self.parts.append(payload)
        if self.missing <= 0:
            self.body = b"".join(self.parts)
        return self.missing <= 0


class Decoder:
    """Makes messages of deliveries; what a header's name means is kept, since names repeat."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[int, str]] = {}

    def decode(self, raw: Raw) -> tuple[Message, dict[str, str]]:
        """The message of a delivery, and the bus's own properties beside it.

        Bytes are carried, never interpreted: no content encoding, no compression, no serialiser. A foreign message
        whose headers cannot be read still is a message, with its body and nothing else.
        """
        plain = self._plain(raw.header)
        if plain is not None:
            (attributes, application, properties, _), content_type = plain
            return from_attributes(attributes, application, content_type, raw.body), properties
        headers, properties, content_type = self._foreign(raw.header)
        for name in _BROKERS_OWN.intersection(headers):
            del headers[name]
        return from_headers(headers, content_type, raw.body), properties

    def _plain(self, header: bytes) -> tuple[_Sorted, str] | None:
        """What is in it, sorted, and the content type, if it is laid out as :class:`Encoder` does it; else None."""
        try:
            (flags,) = unpack_from(">H", header, 12)
            if flags != _FLAGS:
                return None
            at = 15 + header[14]
            fields = self._table(header, at)
        except (IndexError, struct.error):
            return None
        return fields and (fields, header[15:at].decode("utf-8", "replace"))

    def _table(self, data: bytes, at: int) -> _Sorted | None:
        """A field table in which every value is a long string; None when another kind is among them.

        The innermost loop of taking: each value goes straight to where it belongs. Names and values are cut out of
        the table as Latin-1 text, in which each byte is one character: nearly all are ASCII, and right as they are.
        """
        found: _Sorted = ({}, {}, {}, {})
        names = self._names
        read = _FIELD.unpack_from
        text = data.decode("latin-1")
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        at += 4
        while at < end:
            start = at + 1
            at = start + data[at]
            kind, size = read(data, at)
            if kind != _LONG_STRING:
                return None
            name = text[start:at]
            place, name = names.get(name) or self._name(name)
            start = at + 5
            at = start + size
            value = text[start:at]
            found[place][name] = value if value.isascii() else _unicode(value)
        return found

    def _name(self, name: str) -> tuple[int, str]:
        if len(self._names) >= _CACHED:
            self._names.clear()
        found = self._names[name] = _placed(_unicode(name))
        return found

    def _foreign(self, header: bytes) -> tuple[dict[str, Any], dict[str, str], str]:
        found, content_type = _read(header)
        headers = {name: value for name, value in found.items() if not name.startswith(PROPERTY_PREFIX)}
        own = found.keys() - headers.keys()
        return headers, {name.removeprefix(PROPERTY_PREFIX): str(found[name]) for name in own}, content_type


def _placed(name: str) -> tuple[int, str]:
    """Which of the four of :data:`_Sorted` a header belongs to, and under which name."""
    if name.startswith(AMQP_PREFIX):
        return 0, name.removeprefix(AMQP_PREFIX)
    if name.startswith(PROPERTY_PREFIX):
        return 2, name.removeprefix(PROPERTY_PREFIX)
    if name in RESERVED:
        return 0, name
    return (3 if name in _BROKERS_OWN else 1), name


def _unicode(text: str) -> str:
    """UTF-8 that was read as Latin-1."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _read(header: bytes) -> tuple[dict[str, Any], str]:
    """Headers and content type by py-amqp's general reader."""
    content = amqp.Message()
    try:
        content.inbound_header(header)
    except Exception:  # whatever a stranger wrote there: the body is what counts
        return {}, JSON
    headers = content.properties.get("application_headers") or {}
    if "message_id" in content.properties:
        headers.setdefault("cloudEvents:id", str(content.properties["message_id"]))
    return dict(headers), str(content.properties.get("content_type") or JSON)


def _short(text: str) -> bytes:
    """A short string (4.2.5.3): 255 bytes at most; what is longer is cut, never in the middle of a character."""
    data = text.encode("utf-8", "replace")
    if len(data) > 255:
        data = data[:255].decode("utf-8", "ignore").encode()
    return bytes((len(data),)) + data
