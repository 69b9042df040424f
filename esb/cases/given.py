"""What a case is given, as messages."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from esb.broker.port import Outgoing, flow_queue
from esb.cases.bench import Bench
from esb.cases.models import Given
from esb.config.definition import Definition
from esb.config.mappings import plain
from esb.contract import Contract
from esb.errors import MessageError
from esb.formats import FORMATS
from esb.formats.numbers import decode_json
from esb.message import JSON, Message, content_id, create
from esb.store import Hop, open_store
from esb.worker import synthetic
from esb.worker.journey import headers_of

TIME = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # when cases begin that say nothing else: the same every day
TRACE = f"00-{1:032x}-{1:016x}-01"


class Unusable(Exception):  # noqa: N818 - a case that cannot run is a case that fails, with this sentence
    """The case itself is wrong."""


def message_of(body: bytes, ref: str, id: str, time: float, **more: Any) -> Message:
    """A message of a type and version (``order/v1``), from nowhere in particular. ``time``: epoch seconds."""
    type, _, version = ref.partition("/v")
    more.setdefault("source", "test")
    id = content_id("case", id, when=TIME)
    return create(body, id=id, type=type, version=int(version or 0), time=time, traceparent=TRACE, **more)


class Giver:
    """Turns what is given into messages for a bench. ``source`` is where the flow or saga under test starts."""

    def __init__(
        self, definition: Definition, contract: Callable[[str], Contract | None], source: str, flow: str = ""
    ) -> None:
        """Args: the bus, its contracts by ref, the source, and the flow under test where one is."""
        self._definition = definition
        self._contract = contract
        self._source = source
        self._flow = flow

    def give(self, given: Given, bench: Bench, id: str) -> tuple[Message, list[Outgoing]]:
        """The message, and where it goes now. Raises ``Unusable``."""
        time = given.time.timestamp() if given.time else bench.traffic.clock.now
        if given.through is not None:
            message = self._raw(given.through, given, id, time)
            return message, bench.raw(given.through, message)
        if given.test_message:
            message = self._test(time)
            return message, [Outgoing(message, flow_queue(self._flow))]
        message = self._stored(given.message, id, time) if given.message else self._document(given, id, time)
        return message, bench.into(self._source, message)

    def _test(self, time: float) -> Message:
        flow = self._definition.flows.get(self._flow)
        if flow is None or flow.test_message is None:
            raise Unusable("only a flow that says its test_message can be given one")
        return synthetic.message_of(self._definition, flow, time)

    def bytes_of(self, name: str) -> bytes:
        """A file of the bus directory. Raises ``Unusable``."""
        root = Path(self._definition.root).resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise Unusable(f"the file {name} lies outside the bus directory: move it inside")
        try:
            return path.read_bytes()
        except OSError as error:
            raise Unusable(
                f"the file {name} cannot be read ({error.strerror}): give its path from the bus directory"
            ) from None

    def _raw(self, name: str, given: Given, id: str, time: float) -> Message:
        endpoint = self._definition.endpoints.get(name)
        if endpoint is None or endpoint.receive is None:
            raise Unusable(f"nothing comes in through {name!r}: name an endpoint with receive")
        if name != self._source:
            raise Unusable(f"what comes in through {name!r} goes elsewhere: this starts at {self._source}")
        kind = FORMATS[endpoint.format].content_type
        more = {"headers": given.headers, "subject": given.subject}
        return message_of(self._content(given), name, id, time, source=name, content_type=kind, **more)

    def _content(self, given: Given) -> bytes:
        if given.file is not None:
            return self.bytes_of(given.file)
        if given.text is not None:
            return given.text.encode()
        try:
            return b64decode(str(given.base64), validate=True)
        except binascii.Error as error:
            raise Unusable(f"base64: it cannot be read ({error})") from None

    def _document(self, given: Given, id: str, time: float) -> Message:
        body = self.bytes_of(given.file) if given.file else msgspec.json.encode(plain(given.document))
        ref = self._received() or self._source
        contract = self._contract(ref)
        subject = given.subject if given.subject is not None or contract is None else _subject(contract, body)
        return message_of(body, ref, id, time, subject=subject, headers=given.headers)

    def _received(self) -> str | None:
        endpoint = self._definition.endpoints.get(self._source)
        return endpoint.receive.common.contract if endpoint and endpoint.receive else None

    def _stored(self, wanted: str, id: str, time: float) -> Message:
        hop = self._hop(wanted)
        ref = f"{hop.type}/v{hop.version}" if hop.version else hop.type
        more: dict[str, Any] = {"subject": hop.subject, "headers": headers_of(hop)}
        return message_of(hop.body or b"", ref, id, time, content_type=hop.content_type or JSON, **more)

    def _hop(self, wanted: str) -> Hop:
        """The hop of a stored message with what came in."""
        config, data = self._definition.config, Path(self._definition.root, self._definition.config.data)
        if config.database == "embedded" and not (data / "store.db").exists():
            raise Unusable(f"the message {wanted} is not stored here: this bus has not run yet")
        with closing(open_store(config.database, data)) as store, store.reading() as t:
            found = t.tracking.find(id=wanted, limit=10) or t.tracking.find(subject=wanted, limit=10)
            hops = [hop for one in found if (hop := t.tracking.get(one.message_id, one.place)) and hop.body is not None]
        if not hops:
            raise Unusable(f"no message {wanted!r} is stored here with its document")
        return hops[-1]


def _subject(contract: Contract, body: bytes) -> str | None:
    try:
        return contract.subject(decode_json(body))
    except MessageError:
        return None  # the flow will say what is wrong with the document
