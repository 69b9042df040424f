"""Frames in bulk: read where they lie in large chunks, and written many at once. See :mod:`.frames`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from amqp.method_framing import frame_handler

from esb.broker.port import Outgoing
from esb.broker.rabbitmq import wire
from esb.broker.rabbitmq.confirms import destination
from esb.broker.rabbitmq.decoder import Decoder
from esb.broker.rabbitmq.readers import Frame, Raw, Reader
from esb.broker.rabbitmq.transport import Transport
from esb.message import Message

_WRITE = 128 * 1024  # bytes written before looking at what came in
# Bytes of frames put together, about: less than the C library takes from the system anew each time, page by page (see
# esb.worker.life).
_JOINED = 112 * 1024


class BulkFrames:
    """``reader`` takes the frames that are frequent here."""

    transport = Transport

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._decoder = Decoder()
        self._connection: Any = None

    def handler(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
        """Frames come this way during py-amqp's dialogues, or when they are in pieces."""
        usual = frame_handler(connection, callback)
        return lambda frame: self._reader.frame(frame) or bool(usual(frame))

    def attach(self, connection: Any, channel: Any) -> None:
        self._connection = connection
        self._channel = channel
        self._encoder = wire.Encoder(channel.channel_id, connection.frame_max)

    def detach(self) -> None:
        self._connection = None
        self._reader.reset()

    def handle(self) -> bool:
        """The frames in the buffer: a dialogue leaves those behind its answer there."""
        transport, read, handled = self._transport, self._reader.read, False
        while True:
            handled |= transport.hand_to(read)
            frame = transport.next_frame()
            if frame is None:
                return handled
            self._connection.on_inbound_frame(frame)
            handled = True

    def receive(self) -> bool:
        if not self._transport.receive():
            return False
        self.handle()
        return True

    def consume(self, queue: str, tag: str, cancelled: Callable[[str], None]) -> None:
        """Without a callback: deliveries go to the reader."""
        self._channel.basic_consume(queue, tag, on_cancel=cancelled)

    def decode(self, raw: Raw) -> tuple[Message, dict[str, str]]:
        return self._decoder.decode(raw)

    def publish(self, batch: Sequence[Outgoing]) -> list[wire.Write]:
        encode = self._encoder.publish
        return self._writes([encode(*destination(each), each.message, each.properties) for each in batch])

    def ack(self, acks: Iterable[tuple[int, bool]]) -> list[wire.Write]:
        number = self._channel.channel_id
        return self._writes([wire.ack(number, tag, multiple) for tag, multiple in acks])

    def reject(self, tags: Iterable[int]) -> list[wire.Write]:
        number = self._channel.channel_id
        return self._writes([wire.reject(number, tag) for tag in tags])

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _transport(self) -> Any:
        if self._connection is None:
            raise ConnectionResetError("the connection was lost")
        return self._connection.transport

    def _writes(self, frames: Sequence[bytes]) -> list[wire.Write]:
        write = self._transport.write
        few = max(1, len(frames) * _JOINED // max(sum(map(len, frames)), 1))
        joined = (memoryview(b"".join(frames[at : at + few])) for at in range(0, len(frames), few))
        return [partial(write, data[at : at + _WRITE]) for data in joined for at in range(0, len(data), _WRITE)]
