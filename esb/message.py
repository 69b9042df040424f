"""The message: immutable, bytes inside, CloudEvents 1.0 and W3C trace context outside.

The acknowledgement is not here: it belongs to the Delivery (see ``broker``), because splitting and copying a
message must never copy the right to acknowledge it.
"""

from __future__ import annotations

import re
import secrets
import time as _time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

JSON = "application/json"
LONGEST_KEY = 500  # characters of a business key or one to keep order by: they travel in headers, and are kept whole
TEST = "test:"  # how the correlation id of a test message begins, and of all that comes of one
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document on its way.

    ``time`` is in seconds since the epoch, UTC, to the millisecond. ``subject`` is the business key (an order number).
    ``epoch`` is the replay epoch: it stays 0 unless somebody replays *with effects*. ``version`` 0 means: no contract.
    """

    id: str
    type: str
    source: str
    time: float
    correlation_id: str
    body: bytes
    version: int = 0
    subject: str | None = None
    causation_id: str | None = None
    traceparent: str = ""
    content_type: str = JSON
    headers: dict[str, str] = {}
    epoch: int = 0

    @property
    def contract(self) -> str:
        """``order.placed/v1``, or the bare type where there is no contract."""
        return f"{self.type}/v{self.version}" if self.version else self.type

    @property
    def is_test(self) -> bool:
        """Whether it is a test message (Hohpe & Woolf), or came of one: no business, and kept out of its counts."""
        return self.correlation_id.startswith(TEST)

    def key(self, text: str) -> str:
        """A key of this message's as state goes by it: each test message keeps apart from business and from others."""
        return f"{self.correlation_id} {text}" if self.is_test else text


def new_id() -> str:
    """A UUIDv7: sorts by the time it was made, to the millisecond (RFC 9562, section 5.7).

    By hand because Python has it from 3.14 on only, and a library for six lines is one more to install.
    """
    value = int(_time.time() * 1000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62))


def new_traceparent() -> str:
    """A fresh, sampled W3C trace context (``00-<trace>-<span>-01``)."""
    digits = secrets.token_hex(24)  # at once: each is a call to the kernel
    return f"00-{digits[:32]}-{digits[32:]}-01"


def derive_id(parent: str, epoch: int, place: str, step: str, ordinal: int) -> str:
    """The id of a descendant: the same inputs always give the same id.

    A UUIDv8 (RFC 9562, section 5.8) with the parent's 48 bits of time in front, so that families sort together,
    and a BLAKE2b hash of what makes this descendant *this* one. Neither the index of the step nor the version of
    the definition enters: adding a step in front must not change the ids of a message under way.

    Args:
        parent: id of the message this one comes from (any text; a UUID lends its time).
        epoch: the replay epoch.
        place: ``flow:<name>``, ``in:<endpoint>`` …
        step: name of the step.
        ordinal: which of the step's results, from 0.
    """
    digest = blake2b(f"{parent}\0{epoch}\0{place}\0{step}\0{ordinal}".encode(), digest_size=16).hexdigest()
    front = parent[:13] if len(parent) == 36 and parent[8] == "-" else f"{digest[:8]}-{digest[8:12]}"
    return f"{front}-8{digest[13:16]}-{'89ab'[int(digest[16], 16) & 3]}{digest[17:20]}-{digest[20:]}"


def child_of(parent: Message, id: str, type: str, version: int, subject: str | None, body: bytes) -> Message:
    """A JSON message that comes from another: it inherits time, correlation, epoch and headers, and stays in its trace.

    The span id is taken from the id, so that a repeat gives the very same message.
    """
    trace = parent.traceparent
    return Message(
        id=id,
        type=type,
        version=version,
        source=parent.source,
        time=parent.time,
        correlation_id=parent.correlation_id,
        body=body,
        subject=subject,
        causation_id=parent.id,
        traceparent=f"{trace[:36]}{id[19:23]}{id[24:]}{trace[52:]}" if len(trace) == 55 else trace,
        headers=parent.headers,
        epoch=parent.epoch,
    )


def content_id(*parts: str, when: float | None = None) -> str:
    """An id for something its source can name (a record of a file, a row): same parts, same id.

    A UUIDv8 whose 48 bits of time are ``when`` (seconds since the epoch), so that such ids sort with UUIDv7s.
    """
    digest = blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
    millis = f"{int((when or 0) * 1000) & 0xFFFFFFFFFFFF:012x}"
    return str(uuid.UUID(f"{millis}8{digest[:3]}{'89ab'[int(digest[3], 16) & 3]}{digest[4:19]}"))


def time_in(id: str) -> float | None:
    """The time in a UUIDv7, in seconds since the epoch; None for any other text.

    It is all that an id made from a caller's key may have of time: whatever is not in the key differs from one attempt
    to the next, and with it the id, by which the copy is recognised.
    """
    return int(id[:8] + id[9:13], 16) / 1000 if _UUID7.fullmatch(id) else None


def create(
    body: bytes,
    *,
    type: str,
    source: str,
    id: str | None = None,
    version: int = 0,
    time: float | None = None,
    **rest: Any,
) -> Message:
    """A message that enters the bus; what is not given is made up (id, time, correlation, trace)."""
    id = id or new_id()
    rest.setdefault("correlation_id", id)
    rest["traceparent"] = rest.get("traceparent") or new_traceparent()
    return Message(
        id=id,
        type=type,
        version=version,
        source=source,
        time=round(_time.time() if time is None else time, 3),
        body=body,
        **rest,
    )


# --- the wire -----------------------------------------------------------------------------------------------------
# CloudEvents 1.0, binary mode: attributes are headers, the body stays as it is. The AMQP binding prefixes attributes
# with "cloudEvents:", the HTTP binding with "ce-"; trace context travels under its own name so that any tracer sees it.

AMQP_PREFIX = "cloudEvents:"
HTTP_PREFIX = "ce-"
RESERVED = frozenset({"traceparent", "esb-epoch"})  # attributes that travel under their own names


def to_headers(message: Message, prefix: str = AMQP_PREFIX) -> dict[str, str]:
    """All attributes of a message (but its content type and body) as a flat table of text."""
    common = common_headers(message.type, message.version, message.source, prefix)
    return {**message.headers, **common, **own_headers(message, prefix)}


def common_headers(type: str, version: int, source: str, prefix: str = AMQP_PREFIX) -> dict[str, str]:
    """The attributes that a message has in common with others of its kind and origin."""
    headers = {prefix + "specversion": "1.0", prefix + "type": type, prefix + "source": source}
    if version:
        headers[prefix + "dataschema"] = f"esb:{type}/v{version}"
    return headers


def own_headers(message: Message, prefix: str = AMQP_PREFIX) -> dict[str, str]:
    """The attributes that are a message's own."""
    headers = {
        prefix + "id": message.id,
        prefix + "time": rfc3339(message.time),
        prefix + "correlationid": message.correlation_id,
    }
    if message.subject is not None:
        headers[prefix + "subject"] = message.subject
    if message.causation_id is not None:
        headers[prefix + "causationid"] = message.causation_id
    if message.traceparent:
        headers["traceparent"] = message.traceparent
    if message.epoch:
        headers["esb-epoch"] = str(message.epoch)
    return headers


def from_headers(headers: Mapping[str, Any], content_type: str, body: bytes, prefix: str = AMQP_PREFIX) -> Message:
    """The reverse of :func:`to_headers`; foreign messages get what they lack.

    Headers that are not attributes stay application headers, as text. A malformed attribute is treated as absent.
    """
    attributes: dict[str, str] = {}
    application: dict[str, str] = {}
    skip = len(prefix)
    for name, value in headers.items():
        text = value if isinstance(value, str) else _text(value)
        if name.startswith(prefix):
            attributes[name[skip:]] = text
        elif name in RESERVED:
            attributes[name] = text
        else:
            application[name] = text
    return from_attributes(attributes, application, content_type, body)


def from_attributes(
    attributes: Mapping[str, str], headers: dict[str, str], content_type: str, body: bytes
) -> Message:  # fmt: skip
    """A message of its CloudEvents attributes (without a prefix; trace context among them) and application headers."""
    get = attributes.get
    id = get("id") or new_id()
    return Message(
        id=id,
        type=get("type") or "unknown",
        version=_version(get("dataschema")),
        source=get("source") or "unknown",
        subject=get("subject"),
        time=_seconds(get("time")),
        correlation_id=get("correlationid") or id,
        causation_id=get("causationid"),
        traceparent=get("traceparent") or "",
        content_type=content_type or JSON,
        headers=headers,
        epoch=_whole(get("esb-epoch")),
        body=body,
    )


def pack(message: Message) -> bytes:
    """A message as one value (MessagePack), for a column or a file."""
    return _encoder.encode(message)


def unpack(data: bytes) -> Message:
    """The reverse of :func:`pack`."""
    return _decoder.decode(data)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


@lru_cache(maxsize=1024)  # messages of a batch are nearly of one time, and their children of the same
def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as ``2026-03-01T12:00:00.000Z``."""
    whole, millis = divmod(round(seconds * 1000), 1000)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat().removesuffix('+00:00')}.{millis:03d}Z"


def _seconds(text: str | None) -> float:
    try:
        return _parsed(text) if text else round(_time.time(), 3)
    except ValueError:
        return round(_time.time(), 3)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@lru_cache(maxsize=1024)
def _version(dataschema: str | None) -> int:
    return _whole(dataschema.rpartition("/v")[2]) if dataschema and dataschema.startswith("esb:") else 0


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
