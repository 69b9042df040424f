"""The way in: bytes become a document, the document is checked, and a message goes to each flow of its endpoint.

The same way for a polled file, an HTTP request and what `esb send` or a retry puts into the inbound queue. What cannot
pass is parked with its bytes as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from esb.broker.port import Outcome, Outgoing, Publisher, inbound_queue
from esb.config.definition import LoadedEndpoint
from esb.contract import Contract
from esb.errors import DecodeError, MessageError, QueueFull, RoutingError, RowRefused, without_frames
from esb.formats.numbers import decode_json
from esb.formats.records import batch, group
from esb.message import JSON, Message, create, derive_id
from esb.ports import Format, Record
from esb.store import Hop, Parked, Status, Transaction
from esb.worker.context import Context
from esb.worker.rows import kind_of, text_of

DOCUMENT = "esb-document"  # property of what is sent on again: the body is the document already, as JSON
MOST = 10_000  # messages of one request or one message sent by hand
LARGEST = 32 * 1024**2  # bytes of their bodies together; more only where the request itself has half of them

_encode = msgspec.json.Encoder().encode
_UNSAYABLE = (UnicodeError, TypeError, ValueError, OverflowError, RecursionError)  # in JSON
_WORST_FIRST = (Outcome.REFUSED, Outcome.RETURNED)


class Admitted(msgspec.Struct):
    """A message at the door; with an ``error`` it will be parked instead of published.

    ``is_document`` False: nothing could be read, and the body are the bytes as they came.
    """

    message: Message
    error: MessageError | None = None
    is_document: bool = True


class Intake:
    """What one endpoint's arrivals go through. Pure; :class:`Door` performs."""

    def __init__(self, endpoint: LoadedEndpoint, format: Format, contract: Contract | None) -> None:
        self.endpoint = endpoint
        self._format = format
        self._contract = contract

    def records(self, stream: BinaryIO) -> Iterator[Record]:
        """The endpoint's records in a stream, grouped as it says."""
        records = self._format.read(stream)
        rules = self.endpoint.records
        if rules is None:
            return records
        if rules.batch is not None:
            return batch(records, rules.batch, rules.lines)
        assert rules.group_by is not None
        return group(records, rules.group_by, rules.lines, rules.head, self._format.join)

    def admit(self, record: Record, *, id: str, time: float, **more: Any) -> Admitted:
        """One record as a message, checked; ``more`` are attributes of the message. Never raises for the record."""
        if record.error:
            return self._unreadable(record, id, time, more)
        try:
            body = _encode(record.document)
        except _UNSAYABLE as error:
            broken = Record(record.number, raw=record.raw, error=f"it cannot be written as JSON: {error}")
            return self._unreadable(broken, id, time, more)
        message = self._message(body, JSON, id, time, more)
        return self._checked(message, record.document) if self._contract else Admitted(message)

    def _checked(self, message: Message, document: Any) -> Admitted:
        """What breaks its contract gets its business key too, if it can be read: a person looks for it by that."""
        assert self._contract is not None
        error: MessageError | None = None
        try:
            self._contract.check(document)
        except MessageError as broken:
            error = without_frames(broken)
        try:
            subject = self._contract.subject(document)
        except MessageError as broken:
            subject, error = None, error or without_frames(broken)
        return Admitted(msgspec.structs.replace(message, subject=subject) if subject is not None else message, error)

    def admit_bytes(
        self, body: bytes, content_type: str, *, id: str, time: float, is_document: bool = False, **more: Any
    ) -> list[Admitted]:
        """Everything in one body. A document (JSON where the format is another) is not read by the format again.

        All of it is accepted or refused together, so it lies in memory together: there is a limit to it.
        """
        if is_document or (content_type == JSON and self._format.content_type != JSON):
            return [self.admit(_document(body), id=id, time=time, **more)]
        try:
            return self._admit_all(body, id, time, more)
        except DecodeError as error:
            return [self.admit(Record(1, raw=body, error=str(error)), id=id, time=time, **more)]

    def _admit_all(self, body: bytes, id: str, time: float, more: Mapping[str, Any]) -> list[Admitted]:
        admitted: list[Admitted] = []
        size, largest = 0, max(LARGEST, 2 * len(body))
        for number, record in enumerate(self.records(BytesIO(body))):
            own = derive_id(id, 0, f"in:{self.endpoint.name}", "record", number) if number else id
            admitted.append(self.admit(record, id=own, time=time, **more))
            size += len(admitted[-1].message.body)
            if len(admitted) > MOST or size > largest:
                raise DecodeError(_too_much(largest))
        if not admitted:
            raise DecodeError("there is no record in it")
        return admitted

    def _unreadable(self, record: Record, id: str, time: float, more: Mapping[str, Any]) -> Admitted:
        message = self._message(record.raw, self._format.content_type, id, time, more)
        return Admitted(message, DecodeError(record.error), is_document=False)

    def _message(self, body: bytes, content_type: str, id: str, time: float, more: Mapping[str, Any]) -> Message:
        type, version = (self._contract.type, self._contract.version) if self._contract else (self.endpoint.name, 0)
        return create(
            body,
            type=type,
            version=version,
            source=self.endpoint.name,
            id=id,
            time=time,
            content_type=content_type,
            **more,
        )


def _too_much(largest: int) -> str:
    return (
        f"it has too much for one request: at most {MOST} records, which have {largest // 1024**2} MB together as "
        "documents, are taken at once; send it in parts, or give it as a file to an endpoint that polls"
    )


def _document(body: bytes) -> Record:
    try:
        return Record(1, decode_json(body), body)
    except DecodeError as error:
        return Record(1, raw=body, error=str(error))


class Door:
    """Publishes what was admitted to the endpoint's flows, and tracks it. Belongs to the thread that made it."""

    def __init__(
        self, context: Context, endpoint: LoadedEndpoint, commit: Callable[[Callable[[Transaction], None]], None]
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._commit = commit
        self._place = f"in:{endpoint.name}"
        self._queues = context.queues_from(endpoint.name)
        self._journal = context.journal()

    def outgoing(self, batch: Sequence[Admitted]) -> list[Outgoing]:
        """What is to be published: a copy for each flow and saga."""
        return [Outgoing(a.message, queue) for a in batch if not a.error for queue in self._queues]

    def enter(
        self, batch: Sequence[Admitted], publisher: Publisher, then: Callable[[Transaction], None] | None = None
    ) -> None:
        """Publish, confirmed, then track, together with whatever ``then`` writes. Safe to repeat.

        Raises ``QueueFull`` when a flow's queue takes no more now: nothing is tracked, so ask again later.
        """
        fates = self.fates(batch, publisher.publish(self.outgoing(batch)))
        if Outcome.REFUSED in fates:
            raise QueueFull(f"the queue of a flow of endpoint {self._endpoint.name} takes no more messages now")
        self.record(batch, fates, then)

    def fates(self, batch: Sequence[Admitted], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """What became of each message: its worst outcome; confirmed when every flow has its copy."""
        left = iter(outcomes)
        return [_worst(() if a.error else tuple(islice(left, len(self._queues)))) for a in batch]

    def record(
        self, batch: Sequence[Admitted], fates: Sequence[Outcome], then: Callable[[Transaction], None] | None = None
    ) -> None:
        """Track a batch whose publishing had these fates."""
        self._context.point("in: published")
        self._blame(batch, fates)
        now = self._context.clock()
        hops = [self._hop(admitted, now) for admitted in batch]  # before the store is taken: large ones take their time
        failures = [self._parked(admitted, now) for admitted in batch if admitted.error]
        try:
            self._commit(lambda t: _write(t, hops, failures, then))
        except RowRefused:
            self._commit(lambda t: _write(t, [row.sanitised() for row in hops], failures, then))
        self._context.point("in: tracked")

    def _blame(self, batch: Sequence[Admitted], fates: Sequence[Outcome]) -> None:
        """A flow's queue that is not there is this message's failure: parked, it can be retried."""
        for admitted, fate in zip(batch, fates, strict=True):
            if fate is not Outcome.CONFIRMED:
                admitted.error = RoutingError(
                    f"a flow of endpoint {self._endpoint.name} has no queue: start the bus with its configuration"
                )

    def _hop(self, admitted: Admitted, now: float) -> Hop:
        error = admitted.error
        status = Status.PARKED if error else Status.ACCEPTED if self._queues else Status.UNSUBSCRIBED
        return self._journal.hop(
            admitted.message, self._place, status, received_at=now, ended_at=now, attempts=1,
            sent=0 if error else len(self._queues), error_kind=kind_of(error) if error else None,
            error=text_of(error) if error else None,
        )  # fmt: skip

    def _parked(self, admitted: Admitted, now: float) -> Parked:
        assert admitted.error is not None
        queue = inbound_queue(self._endpoint.name)
        properties = {DOCUMENT: "1"} if admitted.is_document else {}
        return self._journal.parked(
            admitted.message, self._place, queue, admitted.error, now, properties=properties
        )  # fmt: skip


def _write(
    t: Transaction, hops: Sequence[Hop], failures: Sequence[Parked], then: Callable[[Transaction], None] | None
) -> None:
    t.tracking.record(hops)
    t.parked.add(failures)
    if then:
        then(t)


def _worst(outcomes: Sequence[Outcome]) -> Outcome:
    return next((outcome for outcome in _WORST_FIRST if outcome in outcomes), Outcome.CONFIRMED)
