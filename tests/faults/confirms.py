"""A broker that answers badly: confirms come late, or say no, and commands find no queue.

Between the bus and RabbitMQ, in the frames of AMQP 0-9-1 (section 4.2.3 of the specification): nothing else can make a
server refuse one publish of many.
"""

from __future__ import annotations

import random
import struct
import threading
import time
from collections import Counter

from esb.testing.proxy import Wire

_GREETING = b"AMQP\x00\x00\x09\x01"
_METHOD = 1
_PUBLISH, _RETURN, _ACK = b"\x00\x3c\x00\x28", b"\x00\x3c\x00\x32", b"\x00\x3c\x00\x50"
_NACK = b"\x00\x3c\x00\x78"
_SENT_ASTRAY = (b"esb.endpoint.", b"esb.flow.", b"esb.saga.")  # queues of the bus's own, from which first letter goes
_ASTRAY = b"!"


class Whim:
    """How a broker answers, for all of its connections; counts what it did.

    Args:
        chance: for repeatable moods.
    """

    def __init__(self, chance: random.Random) -> None:
        self.returned = self.refused = self.late = 0.0  # the share of publishes, and of confirms
        self.delay = 3.0  # seconds that a late confirm is late
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._lock = threading.Lock()

    def strikes(self, what: str) -> bool:
        """Is it the turn of this one?"""
        with self._lock:
            hit = self._chance.random() < getattr(self, what)
            self.counts[what] += hit
        return hit

    def calm(self) -> None:
        """From now on all answers are what the server says."""
        self.returned = self.refused = self.late = 0.0

    def wire(self) -> Wire:
        """For the proxy: one connection."""
        return _Amqp(self)


class _Amqp(Wire):
    """One connection, frame by frame."""

    def __init__(self, whim: Whim) -> None:
        self._whim = whim
        self._out, self._back = _Frames(), _Frames()
        self._greeted = False

    def to_server(self, data: bytes) -> bytes:
        greeting, data = (b"", data) if self._greeted else (data[: len(_GREETING)], data[len(_GREETING) :])
        self._greeted = True  # the first thing a client sends, and always in one piece
        return greeting + b"".join(map(self._outward, self._out.cut(data)))

    def to_client(self, data: bytes) -> bytes:
        return b"".join(map(self._inward, self._back.cut(data)))

    def _outward(self, frame: bytes) -> bytes:
        if not _is(frame, _PUBLISH):
            return frame
        exchange = 13  # behind type, channel, size, method and a short that is reserved
        key = exchange + 1 + frame[exchange] + 1
        if frame[exchange] or not frame.startswith(_SENT_ASTRAY, key) or not self._whim.strikes("returned"):
            return frame
        return frame[:key] + _ASTRAY + frame[key + 1 :]

    def _inward(self, frame: bytes) -> bytes:
        if _is(frame, _RETURN):
            text = 13
            exchange = text + 1 + frame[text]
            key = exchange + 1 + frame[exchange] + 1
            return frame[:key] + frame[key : key + 1].replace(_ASTRAY, b"e") + frame[key + 1 :]
        if not _is(frame, _ACK):
            return frame
        if self._whim.strikes("late"):
            time.sleep(self._whim.delay)
        return frame[:7] + _NACK + frame[11:] if self._whim.strikes("refused") else frame


class _Frames:
    """Puts frames together, however the stream is cut."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> list[bytes]:
        """The whole frames there are now; the beginning of the next one is kept."""
        data, at, frames = self._rest + data, 0, []
        while len(data) - at >= 7 and len(data) >= (end := at + 8 + struct.unpack_from(">I", data, at + 3)[0]):
            frames.append(data[at:end])
            at = end
        self._rest = data[at:]
        return frames


def _is(frame: bytes, method: bytes) -> bool:
    return frame[0] == _METHOD and frame[7:11] == method
