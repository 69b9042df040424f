"""Frames as they come, however the network cuts them: the bulk readers against what was sent, and against py-amqp."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from itertools import pairwise
from struct import pack
from types import SimpleNamespace
from typing import Any

import amqp
import msgspec
from amqp.method_framing import frame_writer
from amqp.transport import TCPTransport
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esb.broker.port import Outgoing
from esb.broker.rabbitmq.confirms import destination
from esb.broker.rabbitmq.decoder import Decoder
from esb.broker.rabbitmq.plain import PlainFrames
from esb.broker.rabbitmq.readers import Confirms, Deliveries, Frame, Raw, Reader
from esb.broker.rabbitmq.transport import _Chunks
from esb.broker.rabbitmq.wire import PROPERTY_PREFIX, Encoder
from esb.broker_url import parse
from esb.message import RESERVED, Message, to_headers

HEARTBEAT = pack(">BHI", 8, 0, 0) + b"\xce"
FLOW = pack(">BHI4sBB", 1, 1, 5, b"\x00\x14\x00\x14", 1, 0xCE)  # channel.flow: rare, for py-amqp
ROOM = 64  # of a body frame, so that bodies come in one piece and in several

texts = st.text(max_size=40)
TAKEN = ("cloudEvents:", "x-", "CC", "BCC", *RESERVED)  # by attributes and by brokers
names = st.text(min_size=1, max_size=20).filter(lambda name: not name.startswith(TAKEN))
messages = st.builds(
    Message,
    id=st.uuids().map(str) | texts.filter(bool),
    type=texts.filter(bool),
    source=texts.filter(bool),
    time=st.integers(0, 4_000_000_000_000).map(lambda millis: millis / 1000),
    correlation_id=st.uuids().map(str),
    body=st.binary(max_size=300),
    subject=st.none() | texts,
    headers=st.dictionaries(names, texts, max_size=5),
    epoch=st.integers(0, 9),
)


class Socket:
    """Gives what is put in, in the pieces it is put in."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def recv(self, size: int) -> bytes:
        return self.pieces.pop(0)


class Chunks(_Chunks):
    def __init__(self, pieces: list[bytes]) -> None:
        self.sock = Socket(pieces)


def deliver(number: int, message: Message) -> bytes:
    """The frames of a delivery, the body in as many as the room of one demands."""
    published = Encoder(1, 131072).publish("", "q", message, {})
    header = published[8 + int.from_bytes(published[3:7], "big") :]
    header = header[: 8 + int.from_bytes(header[3:7], "big")]
    method = b"\x00\x3c\x00\x3c\x011" + pack(">QB", number, 0) + b"\x00\x01q"
    parts = [message.body[at : at + ROOM] for at in range(0, len(message.body), ROOM)]
    return (
        pack(">BHI", 1, 1, len(method)) + method + b"\xce" + header
        + b"".join(pack(">BHI", 3, 1, len(part)) + part + b"\xce" for part in parts)
    )  # fmt: skip


def read(reader: Reader, pieces: list[bytes]) -> list[Frame]:
    """Everything is read, as a connection does it; the frames that are left to py-amqp."""
    transport, rest = Chunks(list(pieces)), []
    for _ in pieces:
        assert transport.receive()
        while True:
            transport.hand_to(reader.read)
            frame = transport.next_frame()
            if frame is None:
                break
            if not reader.frame(frame):
                rest.append(frame)
    return rest


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(bounds)]


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 1 << 30), max_size=12), st.data())
def test_any_split_of_the_stream_gives_the_same_deliveries(sent: list[Message], places: list[int], data: Any) -> None:
    """Whole, in pieces, or byte by byte; what is rare stands between them, and reaches py-amqp in its order."""
    stream, rare = b"", 0
    for number, message in enumerate(sent, 1):
        between = data.draw(st.sampled_from([b"", HEARTBEAT, FLOW, FLOW + HEARTBEAT]))
        rare += between.count(b"\xce")
        stream += between + deliver(number, message)
    found: list[Raw] = []
    rest = read(Deliveries(found.append), cut(stream, places))
    decoder = Decoder()
    assert [decoder.decode(raw)[0] for raw in found] == sent
    assert [(raw.tag, raw.consumer, raw.target) for raw in found] == [(n, b"1", b"q") for n in range(1, len(sent) + 1)]
    assert len(rest) == rare


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 1 << 60), st.booleans())), st.lists(st.integers(0, 1 << 30), max_size=9))
def test_any_split_of_the_stream_gives_the_same_confirms(sent: list[tuple[int, bool]], places: list[int]) -> None:
    """One that comes in pieces too: it is read once it is whole."""
    stream = b"".join(pack(">BHI4sQBB", 1, 1, 13, b"\x00\x3c\x00\x50", *each, 0xCE) for each in sent) + HEARTBEAT
    found: list[tuple[int, bool]] = []
    rest = read(Confirms(lambda tag, multiple: found.append((tag, multiple))), cut(stream, places))
    assert found == sent
    assert [kind for kind, _, _ in rest] == [8]


def test_a_frame_without_its_end_mark_is_left_to_the_general_reader() -> None:
    """It complains, and the connection ends; nothing is delivered from a stream that is out of step."""
    stream = deliver(1, Message(id="1", type="t", source="s", time=0.0, correlation_id="1", body=b"{}"))[:-1] + b"\x00"
    found: list[Raw] = []
    assert Deliveries(found.append).read(stream, 0) == 0
    assert not found


def test_half_a_delivery_is_forgotten_with_its_connection() -> None:
    """The next connection's first body is not taken for the rest of it."""
    message = Message(id="1", type="t", source="s", time=0.0, correlation_id="1", body=b"x" * 200)
    found: list[Raw] = []
    reader = Deliveries(found.append)
    read(reader, [deliver(1, message)[:-100]])
    reader.reset()
    read(reader, [deliver(1, message)])
    assert [raw.body for raw in found] == [message.body]


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, min_size=1, max_size=4), st.dictionaries(st.sampled_from(["attempt", "retry"]), texts))
def test_headers_are_read_as_they_were_written(sent: list[Message], properties: dict[str, str]) -> None:
    """By us, twice, since the second time a layout is known; and by py-amqp, as any other client would."""
    encoder, decoder = Encoder(1, 131072), Decoder()
    for message in [*sent, *sent]:
        frames = encoder.publish("", "q", message, properties)
        at = 8 + int.from_bytes(frames[3:7], "big")
        header = frames[at + 7 : at + 7 + int.from_bytes(frames[at + 3 : at + 7], "big")]
        raw = SimpleNamespace(header=header, body=message.body)
        assert decoder.decode(raw) == (message, properties)  # type: ignore[arg-type]
        content = amqp.Message()
        content.inbound_header(header)
        own = {PROPERTY_PREFIX + name: value for name, value in properties.items()}
        assert content.properties["application_headers"] == {**to_headers(message), **own}


@settings(max_examples=60, deadline=None)
@given(messages, st.integers(0, 1 << 20), st.integers(0, 255))
def test_another_byte_in_a_known_header_is_read_like_in_an_unknown_one(message: Message, at: int, byte: int) -> None:
    """A layout takes nothing for granted: what is between the values decides whether it fits."""
    frames = deliver(1, message)
    found: list[Raw] = []
    Deliveries(found.append).read(frames, 0)
    if not found:  # the body was too long for one frame
        return
    knows = Decoder()
    knows.decode(found[0])
    header = bytearray(found[0].header)
    header[12 + at % (len(header) - 12)] = byte
    changed: Any = SimpleNamespace(header=bytes(header), body=b"")
    one, other = knows.decode(changed), Decoder().decode(changed)
    made_up = {"id": "", "time": 0.0, "correlation_id": ""}  # where they were lost
    assert msgspec.structs.replace(one[0], **made_up) == msgspec.structs.replace(other[0], **made_up)
    assert one[1] == other[1]


class Told:
    """A connection of py-amqp's without a server: keeps what is written, and is told what was received."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.written: list[bytes] = []
        self.connection = amqp.Connection()
        self.connection.transport = SimpleNamespace(
            sock=self.ours,
            having_timeout=lambda timeout: nullcontext(),
            write=lambda data: self.written.append(bytes(data)),
        )
        self.connection.frame_writer = frame_writer(self.connection, self.connection.transport)
        self.channel = amqp.Channel(self.connection, 1)
        self.found: list[Any] = []
        self.frames = PlainFrames(parse("amqp://localhost?frames=plain"), self.found.append)
        self.frames.attach(self.connection, self.channel)
        self.channel.callbacks["1"] = self.frames._on_delivery
        self.heard = self.frames.handler(self.connection, self.connection.on_inbound_method)

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *error: object) -> None:
        self.ours.close()
        self.theirs.close()

    def hear(self, stream: bytes) -> list[tuple[Message, dict[str, str]]]:
        """The messages in a stream of whole frames."""
        chunks = Chunks([stream])
        chunks.receive()
        while frame := chunks.next_frame():
            self.heard(frame)
        return [self.frames.decode(raw) for raw in self.found]


LARGE = Message(id="1", type="t", source="s", time=0.0, correlation_id="1", body=b"x" * 300_000)
STRANGE = msgspec.structs.replace(LARGE, body=b"", headers={"lone": "\ud800"}, content_type="ü" * 200)


@settings(max_examples=60, deadline=None)
@example(LARGE, {}, "a", False)
@example(
    msgspec.structs.replace(LARGE, body=b"", headers={"lone": "\ud800"}, content_type="ü" * 200), {}, "ü" * 200, True
)
@given(messages, st.dictionaries(st.sampled_from(["attempt", "retry"]), texts), texts, st.booleans())
def test_py_amqp_writes_what_we_write(message: Message, properties: dict[str, str], key: str, event: bool) -> None:
    """Byte for byte: what a foreign consumer sees does not depend on the way."""
    each = Outgoing(message, key, event, properties=properties)
    with Told() as told:
        for write in told.frames.publish([each]):
            write()
        assert b"".join(told.written) == Encoder(1, 131072).publish(*destination(each), message, properties)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, min_size=1, max_size=4))
def test_py_amqp_reads_what_we_read(sent: list[Message]) -> None:
    """The same messages of the same frames, in the same order, with the same tags."""
    with Told() as told:
        stream = b"".join(deliver(number, message) for number, message in enumerate(sent, 1))
        assert told.hear(stream) == [(message, {}) for message in sent]
        places = [(raw.tag, raw.consumer, raw.target, raw.redelivered) for raw in told.found]
        assert places == [(number, b"1", b"q", 0) for number in range(1, len(sent) + 1)]


@settings(max_examples=100, deadline=None)
@given(messages, st.integers(0, 1 << 20), st.integers(0, 255))
def test_properties_that_py_amqp_cannot_read_cost_no_connection(message: Message, at: int, byte: int) -> None:
    """Whatever a stranger wrote there, the body is delivered, and so is the next message."""
    stream = bytearray(deliver(1, message))
    start = 8 + int.from_bytes(stream[3:7], "big")  # of the header frame
    size = int.from_bytes(stream[start + 3 : start + 7], "big")
    stream[start + 7 + 12 + at % (size - 12)] = byte
    with Told() as told:
        found = told.hear(bytes(stream) + deliver(2, message))
        assert [each.body for each, _ in found] == [message.body] * 2
        assert found[1] == (message, {})


@settings(max_examples=20, deadline=None)
@given(st.lists(messages, min_size=1, max_size=3), st.lists(st.integers(0, 1 << 30), max_size=4))
def test_py_amqp_keeps_half_a_frame(sent: list[Message], places: list[int]) -> None:
    """However the network cuts the stream, nobody waits long for the rest of a piece, and nothing of it is lost."""
    stream = b"".join(deliver(number, message) for number, message in enumerate(sent, 1))
    with Told() as told:
        transport = told.connection.transport = TCPTransport("localhost")
        transport.sock = told.ours
        transport._setup_transport()
        told.connection.on_inbound_frame = told.heard
        for piece in cut(stream, places):
            told.theirs.sendall(piece)
            assert told.frames.receive()
        assert [told.frames.decode(raw)[0] for raw in told.found] == sent


def test_what_tls_has_decrypted_is_handled_without_a_poll() -> None:
    """The rest of a record lies where the socket shows nothing."""
    message = Message(id="1", type="t", source="s", time=0.0, correlation_id="1", body=b"{}")
    chunks = Chunks([deliver(1, message) + deliver(2, message)])
    chunks.receive()
    left = [frame for _ in range(6) if (frame := chunks.next_frame())]
    with Told() as told:
        told.connection.on_inbound_frame = told.heard
        told.connection.transport = SimpleNamespace(
            sock=SimpleNamespace(pending=lambda: len(left)),
            having_timeout=lambda timeout: nullcontext(),
            read_frame=lambda: left.pop(0),
        )
        assert told.frames.handle()
        assert [raw.tag for raw in told.found] == [1, 2]
        assert not told.frames.handle()
