"""Makes messages of deliveries. Section numbers refer to the AMQP 0-9-1 specification.

py-amqp reads headers one by one. Those of messages that go the same way differ in their values only, rarely even in
the lengths of these; so a layout, once learnt, cuts all values out of a header at their known places, after a look that
everything between them is as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from operator import itemgetter
from struct import unpack_from
from typing import Any

import amqp

from esb.broker.rabbitmq.readers import Raw
from esb.broker.rabbitmq.wire import CACHED, FLAGS, PROPERTY_PREFIX
from esb.message import AMQP_PREFIX, JSON, RESERVED, Message, from_attributes, from_headers

# What a broker writes into headers of messages that it moved. Sent back, it takes part in cycle detection and routing.
_BROKERS_OWN = frozenset(
    {"x-death", "x-opt-deaths", "x-delivery-count", "x-acquired-count", "CC", "BCC"}
    | {f"x-{order}-death-{what}" for order in ("first", "last") for what in ("exchange", "queue", "reason")}
)
_FIELD = struct.Struct(">BI")  # what stands between a name and its value
_LONG_STRING = ord("S")
_START = 14  # of what is laid out: behind class, weight, size of the body and property flags (4.2.6.1)
_FLAGS = FLAGS.to_bytes(2, "big")
_LAYOUTS = 256  # kept by a decoder: a stranger may send ever new ones
_NOWHERE = (slice(0, 0), slice(0, 0))  # itemgetter gives a tuple for two and more only
_ATTRIBUTE, _APPLICATION, _PROPERTY, _BROKER = range(4)

_Field = tuple[int, str, slice]  # one of the four above, the name there, where the value is


class _Layout:
    """Where everything is in a header in which every value is a long string."""

    __slots__ = ("_between", "_constant", "_names", "_values", "content_type")

    def __init__(self, text: str, end: int, fields: list[_Field]) -> None:
        """Args: the header as text in Latin-1, so that each byte is one character; where its table ends."""
        size = ord(text[0])
        self.content_type = _unicode(text[1 : 1 + size])
        sorted_out = [[each for each in fields if each[0] == place] for place in range(_BROKER)]
        self._names = [tuple(name for _, name, _ in found) for found in sorted_out]
        self._values = [itemgetter(*(at for _, _, at in found), *_NOWHERE) for found in sorted_out]
        self._between = itemgetter(*_gaps(end, [at for _, _, at in fields]), *_NOWHERE)
        self._constant = self._between(text)

    def fits(self, text: str) -> bool:
        """Whether a header of the same length is laid out like this one."""
        return bool(self._between(text) == self._constant)

    def table(self, place: int, text: str) -> dict[str, str]:
        """The headers of one of the four sorts."""
        names = self._names[place]
        if not names:
            return {}
        values = self._values[place](text)
        if not text.isascii():  # which is known already, and rare
            values = [value if value.isascii() else _unicode(value) for value in values]
        return dict(zip(names, values, strict=False))


class Decoder:
    """Makes messages of deliveries; keeps the layouts of their headers, and what a header's name means."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[int, str]] = {}
        self._layouts: dict[int, _Layout] = {}  # by the header's length, the last one of each

    def decode(self, raw: Raw) -> tuple[Message, dict[str, str]]:
        """The message of a delivery, and the bus's own properties beside it.

        Bytes are carried, never interpreted: no content encoding, no compression, no serialiser. A foreign message
        whose headers cannot be read still is a message, with its body and nothing else.
        """
        header = raw.header
        text = header[_START:].decode("latin-1")
        layout = self._layouts.get(len(text))
        if layout is None or header[12:_START] != _FLAGS or not layout.fits(text):
            layout = self._learn(header, text)
            if layout is None:
                return interpret(read_properties(header) or {}, raw.body)
        table = layout.table
        message = from_attributes(table(_ATTRIBUTE, text), table(_APPLICATION, text), layout.content_type, raw.body)
        return message, table(_PROPERTY, text)

    def _learn(self, header: bytes, text: str) -> _Layout | None:
        """The layout of a header such as the encoder writes them; None for another."""
        if header[12:_START] != _FLAGS:
            return None
        try:
            at = 1 + ord(text[0])
            (size,) = unpack_from(">I", header, _START + at)
            fields = list(self._fields(header, text, at + 4, at + 4 + size))
        except (IndexError, ValueError, struct.error):
            return None
        if not any(place == _ATTRIBUTE and name == "id" for place, name, _ in fields):
            return None  # of a stranger's, the id is beside the table
        if len(self._layouts) >= _LAYOUTS:
            self._layouts.clear()
        layout = self._layouts[len(text)] = _Layout(text, at + 4 + size, fields)
        return layout

    def _fields(self, header: bytes, text: str, at: int, end: int) -> Iterator[_Field]:
        """A field table (4.2.5.5). Raises ``ValueError`` when a value is no long string."""
        names, read = self._names, _FIELD.unpack_from
        while at < end:
            start = at + 1
            at = start + ord(text[at])
            kind, size = read(header, _START + at)
            if kind != _LONG_STRING:
                raise ValueError(kind)
            name = text[start:at]
            place, name = names.get(name) or self._name(name)
            start = at + _FIELD.size
            at = start + size
            yield place, name, slice(start, at)

    def _name(self, name: str) -> tuple[int, str]:
        if len(self._names) >= CACHED:
            self._names.clear()
        found = self._names[name] = _placed(_unicode(name))
        return found


def interpret(properties: Mapping[str, Any], body: bytes) -> tuple[Message, dict[str, str]]:
    """The message of a delivery whose properties py-amqp has read, and the bus's own properties beside it."""
    found = {_text(name): value for name, value in (properties.get("application_headers") or {}).items()}
    if "message_id" in properties:
        found.setdefault("cloudEvents:id", str(properties["message_id"]))
    own = {name for name in found if name.startswith(PROPERTY_PREFIX)}
    headers = {name: value for name, value in found.items() if name not in own and name not in _BROKERS_OWN}
    content_type = str(properties.get("content_type") or JSON)
    return from_headers(headers, content_type, body), {
        name.removeprefix(PROPERTY_PREFIX): _text(found[name]) for name in own
    }


def read_properties(header: bytes) -> dict[str, Any] | None:
    """What a header frame holds, by py-amqp's general reader; None where it cannot be read."""
    content = amqp.Message()
    try:
        content.inbound_header(header)
    except Exception:  # whatever a stranger wrote there: the body is what counts
        return None
    return dict(content.properties)


def _gaps(end: int, values: list[slice]) -> Iterator[slice]:
    """What is between the values: the front, then names and lengths; and behind the last, the rest of the table."""
    at = 0
    for value in values:
        yield slice(at, value.start)
        at = value.stop
    yield slice(at, end)


def _placed(name: str) -> tuple[int, str]:
    """What a header is, and under which name."""
    if name.startswith(AMQP_PREFIX):
        return _ATTRIBUTE, name.removeprefix(AMQP_PREFIX)
    if name.startswith(PROPERTY_PREFIX):
        return _PROPERTY, name.removeprefix(PROPERTY_PREFIX)
    if name in RESERVED:
        return _ATTRIBUTE, name
    return (_BROKER if name in _BROKERS_OWN else _APPLICATION), name


def _unicode(text: str) -> str:
    """UTF-8 that was read as Latin-1."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _text(value: Any) -> str:
    """What py-amqp gives as bytes is no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
