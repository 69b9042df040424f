"""Calls of flows: the continuation on its way with the request, and going on with the answer.

A continuation travels as a property of the request; a large one lies in the store, committed before the request goes
out, and the property names it. What is parked holds all of it, however large: the store sees to that, and puts it aside
again when the message is retried.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial

import msgspec

from esb.broker.port import (
    ASKED,
    CONTEXT,
    DEADLINE,
    ERROR,
    ERROR_KIND,
    ERROR_STEP,
    REPLY,
    REPLY_TO,
    Delivery,
    Outgoing,
    endpoint_queue,
    resume_queue,
)
from esb.errors import ConfigError, MessageError
from esb.flow import Call, Continuation, Failure, Flow, Result, build_parts
from esb.flow.holding import stay
from esb.flow.switches import NOTHING_SET, Switches
from esb.formats.numbers import decode_json
from esb.message import JSON, Message
from esb.store import Transaction
from esb.store.continuations import is_large, is_stored, stored
from esb.store.seal import Seal
from esb.worker.context import Context
from esb.worker.thread import commit

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Continuation)
_NULL = msgspec.Raw(b"null")


def sealed(seal: Seal, at: Continuation) -> bytes:
    """Properties are stored wherever a command waits, so what they hold is kept as what is stored is."""
    return seal.close(_encode(at))


def parked(seal: Seal, at: Continuation) -> tuple[Message, dict[str, str]]:
    """A message and where it goes on, with its document as the body."""
    message = msgspec.structs.replace(
        at.message, type=at.type, version=at.version, body=bytes(at.document), content_type=JSON
    )
    return message, {CONTEXT: sealed(seal, msgspec.structs.replace(at, document=_NULL)).decode()}


def carried(t: Transaction, at: Continuation, now: float) -> str:
    """The property that takes a continuation along; what is too large is written down with the transaction.

    Its id is that of this very stay: what is kept under an id never changes, and a message stays at a step once in each
    round of a loop, and at steps of one name in each of its flows.
    """
    return t.continuations.put(f"{stay(at)}/{at.flow}/{at.step}", sealed(t.connection.seal, at), now)


def going_on(t: Transaction, properties: Mapping[str, str]) -> Continuation | None:
    """Where a message with these properties goes on in its flow, if it is known."""
    content = t.continuations.read(properties.get(CONTEXT, ""))
    try:
        return _decoder.decode(t.connection.seal.open(content)) if content else None
    except msgspec.DecodeError:
        return None


class Legs:
    """What one flow worker knows of calls. Used by its thread alone, as the flows that it compiles are."""

    def __init__(self, context: Context, stopping: threading.Event) -> None:
        self._context = context
        self._stopping = stopping
        self._older: dict[str, dict[str, Flow]] = {}  # definition -> its flows

    def request(self, call: Call) -> Outgoing:
        """A call as a command that says where its answer goes. A large continuation is committed when this returns."""
        at = call.continuation
        properties = {"operation": call.operation, REPLY_TO: resume_queue(at.flow), CONTEXT: self._text(call)}
        if at.asked:
            properties[ASKED] = str(at.asked)
        if call.timeout is not None:
            properties[DEADLINE] = str(self._context.clock() + call.timeout)
        return Outgoing(call.message, endpoint_queue(call.endpoint), properties=properties)

    def resume(
        self, delivery: Delivery, active: Flow, switches: Switches = NOTHING_SET
    ) -> tuple[Result, Continuation | None]:
        """Go on with an answer, or from where a parked message is tried again; and where that was. Never raises for a
        message: one whose continuation is lost is a failure of the answer itself."""
        try:
            at = self._continuation(delivery)
        except MessageError as error:
            return Result(status="failed", error=error), None
        flow = self._flow(at, active, wanted=REPLY not in delivery.properties)
        go_on = partial(flow.resume, at, switches=switches)
        if at.go != "answer":
            return go_on(), at
        if delivery.properties.get(REPLY) != "done":
            return go_on(failure=_failure(delivery)), at
        try:
            answer = decode_json(delivery.message.body)
        except MessageError as error:
            return go_on(failure=Failure(kind=error.kind, text=str(error))), at
        return go_on(answer), at

    def where(self, delivery: Delivery) -> Continuation | None:
        """Where a message goes on, if it is known."""
        try:
            return self._continuation(delivery) if CONTEXT in delivery.properties else None
        except MessageError:
            return None

    def parked(self, again: Continuation) -> tuple[Message, dict[str, str]]:
        """A leg that failed as it is set aside: its document as the message, so that a person can read and mend it."""
        return parked(self._context.store.seal, again)

    # --- continuations ------------------------------------------------------------------------------------------

    def _text(self, call: Call) -> str:
        content = sealed(self._context.store.seal, call.continuation)
        if not is_large(content):
            return content.decode()
        id = f"{call.message.id}/{call.continuation.asked}"
        now = self._context.clock()
        commit(self._context.store, lambda t: t.continuations.keep(id, content, now), self._stopping)
        return stored(id)

    def _continuation(self, delivery: Delivery) -> Continuation:
        text = delivery.properties.get(CONTEXT, "")
        content: bytes | None = text.encode()
        if is_stored(text):
            with self._context.store.reading() as t:
                content = t.continuations.read(text)
        if not content:
            raise MessageError("an answer came, and where its message was to go on is not known (any more): discard it")
        try:
            at = _decoder.decode(self._context.store.seal.open(content))
        except msgspec.DecodeError as error:
            raise MessageError(f"an answer came, and where its message was to go on cannot be read: {error}") from error
        if at.go != "answer":
            at = msgspec.structs.replace(at, document=msgspec.Raw(delivery.message.body))
        return at

    # --- versions -----------------------------------------------------------------------------------------------

    def _flow(self, at: Continuation, active: Flow, wanted: bool) -> Flow:
        """The version that the message was under way in; where a person ``wanted`` it tried again, the one in force."""
        if at.definition == self._context.definition.hash:
            return active
        if wanted and active.knows(at.step):
            return active
        older = self._flows_of(at.definition).get(at.flow)
        return older if older is not None and older.knows(at.step) else active

    def _flows_of(self, definition: str) -> dict[str, Flow]:
        """Compiled once: definitions change seldom, and answers to the last one's calls come together."""
        if definition not in self._older:
            try:
                loaded = self._context.older(definition)
                self._older[definition] = dict(build_parts(loaded).flows) if loaded else {}
            except (
                ConfigError,
                MessageError,
            ):  # this version of the bus, or what is set today, does not suit it any more
                self._older[definition] = {}
        return self._older[definition]


def _failure(delivery: Delivery) -> Failure:
    found = delivery.properties
    return Failure(
        kind=found.get(ERROR_KIND, "internal"), text=found.get(ERROR, ""), endpoint=found.get(ERROR_STEP, "")
    )
