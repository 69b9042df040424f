"""Request-Reply (Hohpe & Woolf): what an endpoint answers to a command that says where its answer goes.

An answer is made anew from what the inbox keeps whenever it is asked for, and is the same each time: a redelivery
finds its effect done and its answer stored. Only after the answer is confirmed is the command settled.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from esb.broker.port import ASKED, CONTEXT, EFFECT, ERROR, ERROR_KIND, ERROR_STEP, REPLY, REPLY_TO, Delivery, Outgoing
from esb.config.definition import LoadedEndpoint
from esb.contract import Contract
from esb.errors import MessageError, without_frames
from esb.formats.numbers import decode_json
from esb.message import JSON, child_of, create, derive_id
from esb.ports import Format, Reply
from esb.store.text import cut
from esb.worker.attempt import operation_of
from esb.worker.rows import fit, kind_of, packed, text_of

LONGEST_ERROR = 2000  # characters: it travels in a header
_encode = msgspec.json.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Rejected(MessageError):  # noqa: N818 - says what happened
    """A failure that is answered, as it is kept; ``kind`` is that of the failure.

    ``effect_unknown``: it may have taken place all the same.
    """

    def __init__(self, kind: str, text: str, effect_unknown: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.effect_unknown = effect_unknown


class Answer(msgspec.Struct, frozen=True):
    """How a call ended: with a document (``body``, as JSON), or with a failure."""

    body: bytes = b"null"
    error: Exception | None = None


class Replies:
    """Reads the answers of one endpoint."""

    def __init__(self, endpoint: LoadedEndpoint, format: Format, contracts: Mapping[str, Contract]) -> None:
        self.endpoint = endpoint
        self._format = format
        self._contracts = contracts

    def read(self, operation: str, reply: Reply) -> Answer:
        """What came back, as JSON that meets the operation's reply contract, or why it does not. Never raises."""
        try:
            return Answer(self._body(operation, reply))
        except Exception as error:
            said = self.shown(text_of(error), operation, reply)
            text = f"{self.endpoint.name}.{operation} was done, but its answer cannot be used: {said}"
            return Answer(error=without_frames(Rejected(kind_of(error), text, effect_unknown=True)))

    def to(self, delivery: Delivery, answer: Answer) -> Outgoing | None:
        """The answer to a command as a message, or None where nobody asked for one."""
        return reply_to(delivery, self.endpoint.name, _contract(self.endpoint, operation_of(delivery)), answer)

    def _body(self, operation: str, reply: Reply) -> bytes:
        document = self._document(reply)
        contract = self._contracts.get(_contract(self.endpoint, operation))
        if contract is not None:
            contract.check(document)
        return _encode(document)

    def shown(self, text: str, operation: str, reply: Reply) -> str:
        """A text about an answer without what the answer hides: it is read beside other messages."""
        contract = self._contracts.get(_contract(self.endpoint, operation))
        if contract is None or not contract.mask:
            return text
        return contract.mask.text(text, create(reply.body, type=contract.type, source=self.endpoint.name))

    def _document(self, reply: Reply) -> object:
        """No content is null. What says that it is JSON is read as JSON, whatever the endpoint's format."""
        if not reply.body:
            return None
        kind = reply.content_type.partition(";")[0].strip().lower()
        is_json = kind == JSON or kind.endswith("+json")
        return decode_json(reply.body) if is_json else self._format.decode(reply.body)


def reply_to(delivery: Delivery, endpoint: str, contract: str, answer: Answer) -> Outgoing | None:
    """The message that carries an answer back. None: nobody asked.

    The same command, asked for as often, always gives the same id: what is asked again is answered anew.

    ``endpoint`` is the one that answers, ``contract`` what its answer is by, or nothing.
    """
    to = delivery.properties.get(REPLY_TO)
    if not to:
        return None
    command, operation = delivery.message, operation_of(delivery)
    id = derive_id(command.id, command.epoch, f"out:{endpoint}", "reply", asked(delivery))
    type, _, version = contract.partition("/v")
    message = child_of(
        command, id, type or f"{endpoint}.{operation}.reply", int(version or 0), command.subject, answer.body
    )
    return Outgoing(message, to, properties=_properties(delivery, endpoint, answer))


def wanted(delivery: Delivery) -> bool:
    """Whether somebody waits for an answer to this command."""
    return bool(delivery.properties.get(REPLY_TO))


def asked(delivery: Delivery) -> int:
    """How many failed answers the caller has had to this command."""
    text = delivery.properties.get(ASKED, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def kept_reply(reply: Reply) -> bytes:
    """What came back, as the inbox keeps it."""
    return packed([fit(reply.detail), reply.body, fit(reply.content_type)])


def kept_failure(error: Exception, asked: int) -> bytes:
    """A failure that was answered, as the inbox keeps it."""
    return packed([kind_of(error), cut(text_of(error), LONGEST_ERROR), asked, _effect(error)])


def stored_reply(kept: bytes | None) -> Reply:
    """The reverse of :func:`kept_reply`."""
    detail, body, content_type = _unpack(kept) if kept else ("", b"", "")
    return Reply(detail=detail, body=body, content_type=content_type)


def stored_failure(kept: bytes | None) -> tuple[Rejected, int]:
    """The reverse of :func:`kept_failure`: the failure, and which asking it answered."""
    kind, text, asked, *effect = _unpack(kept) if kept else ("internal", "the failure was not kept", 0)
    return Rejected(kind, text, effect_unknown=effect != ["none"]), asked


def _effect(error: Exception) -> str:
    return "unknown" if getattr(error, "effect_unknown", False) else "none"


def _contract(endpoint: LoadedEndpoint, operation: str) -> str:
    found = endpoint.operations.get(operation)
    return (found.common.reply if found else None) or ""


def _properties(delivery: Delivery, endpoint: str, answer: Answer) -> dict[str, str]:
    properties = {REPLY: "done"}
    if answer.error is not None:
        properties = {
            REPLY: "failed",
            ERROR_KIND: kind_of(answer.error),
            ERROR: cut(text_of(answer.error), LONGEST_ERROR),
            ERROR_STEP: f"{endpoint}.{operation_of(delivery)}",
            EFFECT: _effect(answer.error),
        }
    if CONTEXT in delivery.properties:
        properties[CONTEXT] = delivery.properties[CONTEXT]
    return properties
