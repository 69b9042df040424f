"""What comes in thousands a second, read where it lies in the buffer: deliveries here, confirms there.

py-amqp reads each of them too, from generic descriptions, frame by frame; that would be most of a message's cost. Here
a reader walks over all whole ones in a row. Whatever else is in the stream is not its business: it stops there, and the
frame takes the usual way through py-amqp. Section numbers refer to the AMQP 0-9-1 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from esb.broker.rabbitmq.budget import Budget
from esb.broker.rabbitmq.wire import AROUND

Frame = tuple[int, int, bytes]  # type, channel, payload

_METHOD, _HEADER, _BODY, _END = 1, 2, 3, 0xCE  # 4.2.3
_DELIVER = b"\x00\x3c\x00\x3c"
_ACK = b"\x00\x3c\x00\x50"
_ACK_SIZE = 13
_NAMED = struct.Struct(">BxxI4s")  # type, size and method of a frame
_SIZED = struct.Struct(">BxxI4xQ")  # type and size of a header frame, size of the body (4.2.6.1)
_PLAIN = struct.Struct(">BxxI")  # type and size of a frame
_CONFIRM = struct.Struct(">QBB")  # tag, multiple, end mark


class Reader:
    """Takes the frequent frames of one connection. This one takes none."""

    def read(self, data: bytes, at: int) -> int:
        """Take all whole ones in a row from position ``at``; the position behind the last one taken."""
        return at

    def frame(self, frame: Frame) -> bool:
        """Take one frame, if it is for this reader; whether it was."""
        return False

    def reset(self) -> None:
        """The connection was lost: what was half there will not be completed."""


class Raw:
    """A delivery as it came, before anybody looked inside."""

    __slots__ = ("body", "consumer", "header", "redelivered", "tag", "target")

    def __init__(self, method: bytes, header: bytes, body: bytes) -> None:
        """Args: the payloads of the method frame, of the header frame and of all body frames."""
        at = 5 + method[4]
        self.consumer = method[5:at]
        self.tag = int.from_bytes(method[at : at + 8], "big")
        self.redelivered = method[at + 8]
        at += 9
        at += 1 + method[at]
        self.target = method[at + 1 : at + 1 + method[at]]
        self.header = header
        self.body = body


class Deliveries(Reader):
    """Deliveries: a method frame, a header frame, and as many body frames as the body needs."""

    def __init__(self, found: Callable[[Raw], None], budget: Budget | None = None) -> None:
        """``found`` receives each that ``budget`` admits."""
        self._found = found
        self._budget = budget or Budget()
        self._kept = True  # the one that comes in pieces
        self._parts: list[bytes] = []  # payloads of one that comes in pieces
        self._missing = 0  # bytes of its body

    def read(self, data: bytes, at: int) -> int:
        """See :class:`Reader`. The innermost loop of taking, hence no calls in it.

        What follows the first pieces of a delivery is more of it (4.2.6), so this finds nothing until it is whole.
        """
        if self._budget.spent:
            return at
        found, length, octets = self._found, len(data), 0
        while at + 20 < length:
            kind, size, method = _NAMED.unpack_from(data, at)
            header = at + AROUND + size
            if method != _DELIVER or kind != _METHOD or header + 20 > length:
                break
            kind, size, missing = _SIZED.unpack_from(data, header)
            body = header + AROUND + size
            end = body
            if missing:
                if kind != _HEADER or body + AROUND > length:
                    break
                kind, size = _PLAIN.unpack_from(data, body)
                end = body + AROUND + size
                if kind != _BODY or size != missing:
                    break  # in several frames
            if end > length or not data[header - 1] == data[body - 1] == data[end - 1] == _END:
                break
            found(Raw(data[at + 7 : header - 1], data[header + 7 : body - 1], data[body + 7 : end - 1]))
            octets += missing
            at = end
        self._budget.held += octets
        return at

    def frame(self, frame: Frame) -> bool:
        """See :class:`Reader`."""
        kind, _, payload = frame
        parts = self._parts
        if kind == _METHOD:
            if payload[:4] != _DELIVER:
                return False
            self._parts = [payload]
            self._kept = self._budget.admits()
            return True
        if not parts or kind > _BODY:
            return False
        if kind == _HEADER:
            self._missing = int.from_bytes(payload[4:12], "big")
        else:
            self._missing -= len(payload)
        if kind == _HEADER or self._kept:
            parts.append(payload)
        if self._missing <= 0:
            self._parts = []
            self._whole(Raw(parts[0], parts[1], b"".join(parts[2:])))
        return True

    def reset(self) -> None:
        self._parts = []

    def _whole(self, raw: Raw) -> None:
        if self._kept:
            self._budget.held += len(raw.body)
            self._found(raw)
        else:
            self._budget.left_out.append(raw.tag)


class Confirms(Reader):
    """``basic.ack`` from the server: one publish is safe, or all up to it. One by one they are left to py-amqp."""

    def __init__(self, confirmed: Callable[[int, bool], None]) -> None:
        """``confirmed`` receives the tag, and whether all before it are meant too."""
        self._confirmed = confirmed

    def read(self, data: bytes, at: int) -> int:
        """See :class:`Reader`."""
        length = len(data) - _ACK_SIZE - AROUND
        while at <= length:
            kind, size, method = _NAMED.unpack_from(data, at)
            if method != _ACK or kind != _METHOD or size != _ACK_SIZE:
                break
            tag, multiple, end = _CONFIRM.unpack_from(data, at + 11)
            if end != _END:
                break
            at += _ACK_SIZE + AROUND
            self._confirmed(tag, bool(multiple))
        return at
