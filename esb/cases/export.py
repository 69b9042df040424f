"""A failed message as a test case: what came, what endpoints answered, and that it should have gone through.

It fails as the message failed, until what is wrong is mended, and guards that from then on. What is hidden is replaced
by something of its kind, and no secret of the configuration gets into it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from esb.broker.port import CONTEXT
from esb.cases.outside import failures
from esb.cases.placeholders import filled, without
from esb.config import Definition, redact
from esb.config.yaml import written
from esb.errors import EsbError, MessageError
from esb.flow import PART, Parts
from esb.formats import FORMATS
from esb.formats.numbers import decode_json
from esb.masking import HIDDEN
from esb.message import JSON, Message
from esb.store import Hop, Parked, Status, Transaction
from esb.worker.intake import DOCUMENT
from esb.worker.journey import headers_of, steps_of
from esb.worker.replies import Replies, stored_failure, stored_reply

LONGEST = 300  # characters of the error in the comment
_OPEN = (Status.PARKED, Status.IN_DOUBT)


class Exported(msgspec.Struct, frozen=True):
    """``text`` is YAML for ``file``, which may have cases already."""

    file: str
    text: str


class Origin(msgspec.Struct, frozen=True):
    """What was under way when it failed: a flow or a saga, and what that was given."""

    kind: str  # "flow" or "saga"
    name: str
    came: Message | Hop

    @property
    def id(self) -> str:
        return self.came.message_id if isinstance(self.came, Hop) else self.came.id

    @property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self.came) if isinstance(self.came, Hop) else self.came.headers

    @property
    def ref(self) -> str:
        return f"{self.came.type}/v{self.came.version}" if self.came.version else self.came.type


def export(t: Transaction, definition: Definition, parts: Parts, parked: Parked) -> Exported:
    """The case of one parked message.

    Args:
        t: reads what else is known of its journey.
        definition: the bus directory as it is now, and ``parts``, the same compiled.
        parked: as the store shows it, with what is hidden covered.

    Raises:
        EsbError: no flow or saga is known that it failed in, or no document of it is stored.
    """
    origin = _origin(t, definition, parked)
    answers = _Answers(t, definition, parts).of(origin)
    case = {
        "name": f"{parked.message.subject or parked.message.id} goes through",
        "given": _given(origin, definition, parts, parked),
        **({"answers": answers} if answers else {}),
        "expect": {"status": "completed", "parked": []},
    }
    said = f"{parked.kind}: {' '.join(parked.error.split())}"
    head = f"# Parked at {parked.place}: {redact(said, definition.secrets)[:LONGEST]}\n"
    folder = f"{origin.kind}s"
    content = _without_secrets({origin.kind: origin.name, "cases": [case]}, definition)
    return Exported(f"{folder}/{origin.name}.test.yaml", head + written(content))


def _origin(t: Transaction, definition: Definition, parked: Parked) -> Origin:
    """The flow or saga in which it failed, or from which it came."""
    sort, _, name = parked.place.partition(":")
    if sort == "saga":
        return Origin("saga", name, parked.message)
    if sort == "flow" and CONTEXT in parked.properties:  # it waited: what is parked is no longer what came in
        causes = (parked.message.causation_id or "", parked.message.id)
        came = next((hop for id in causes if (hop := t.tracking.get(id, parked.place))), None)
        return Origin("flow", name, came or parked.message)
    if sort == "flow" and PART not in parked.properties:
        return Origin("flow", name, parked.message)
    if sort == "in":
        return _entered(definition, name, parked.message)
    for hop in t.tracking.journey(parked.message.id):
        kind, _, name = hop.place.partition(":")
        if hop.message_id == parked.message.causation_id and kind in ("flow", "saga"):
            return Origin(kind, name, hop)
    raise EsbError(f"the flow that {parked.message.id} came from is not in the journey any more")


def _entered(definition: Definition, endpoint: str, message: Message) -> Origin:
    for kind, table in (("flow", definition.flows), ("saga", definition.sagas)):
        starting = sorted(one.name for one in table.values() if one.source == endpoint)
        if starting:
            return Origin(kind, starting[0], message)
    raise EsbError(f"nothing starts at {endpoint}, so there is nothing to test")


# --- given ------------------------------------------------------------------------------------------------------------


def _given(origin: Origin, definition: Definition, parts: Parts, parked: Parked) -> dict[str, Any]:
    came = origin.came
    if came.body is None:
        raise EsbError("only a document that is stored can become a case: `journey: full` stores them")
    known: Mapping[str, Any] = definition.flows if origin.kind == "flow" else definition.sagas
    if origin.name not in known:
        raise EsbError(f"the {origin.kind} {origin.name} is not in the configuration any more")
    source = known[origin.name].source
    moment = datetime.fromtimestamp(came.time, UTC)
    more: dict[str, Any] = {"headers": dict(origin.headers)} if origin.headers else {}
    if came.content_type != JSON or (parked.place.startswith("in:") and DOCUMENT not in parked.properties):
        return {**_raw(bytes(came.body)), "through": source, "time": moment, **more}
    document, ref = decode_json(bytes(came.body)), _received(definition, source) or origin.ref
    contract = parts.contracts.get(ref)
    given = {"document": filled(document, contract, definition.contracts), "time": moment, **more}
    if came.subject and came.subject != HIDDEN and _key(contract, document) != came.subject:
        given["subject"] = came.subject
    return given


def _key(contract: Any, document: Any) -> str | None:
    try:
        found: str | None = contract.subject(document) if contract else None
    except MessageError:
        return None
    return found


def _received(definition: Definition, source: str) -> str | None:
    endpoint = definition.endpoints.get(source)
    return endpoint.receive.common.contract if endpoint and endpoint.receive else None


def _raw(body: bytes) -> dict[str, str]:
    if body == HIDDEN.encode():
        raise EsbError("what came cannot be read, and something in it is hidden: so it is not stored")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": b64encode(body).decode()}
    return {"text": text} if all(c.isprintable() or c in "\r\n\t" for c in text) else {
        "base64": b64encode(body).decode()
    }  # fmt: skip


# --- answers ----------------------------------------------------------------------------------------------------------


class _Answers:
    """What endpoints said to the commands of a flow or saga."""

    def __init__(self, t: Transaction, definition: Definition, parts: Parts) -> None:
        self._t = t
        self._definition = definition
        self._parts = parts

    def of(self, origin: Origin) -> dict[str, Any]:
        """By operation; one for each document where there were several."""
        found: dict[str, list[dict[str, Any]]] = {}
        for hop in self._commands(origin):
            answer = self._answer(hop)
            if answer:
                found.setdefault(f"{hop.place[4:]}.{hop.operation}", []).append(answer | self._asked(hop))
        return {name: _plainest(answers) for name, answers in found.items()}

    def _commands(self, origin: Origin) -> list[Hop]:
        """Of the message itself, and of the parts it was split into."""
        hops = self._t.tracking.journey(origin.id)
        here = [hop for hop in hops if hop.message_id == origin.id]
        parts = {id for hop in here for step in steps_of(hop) if step.kind == "split" for id in step.children}
        family = {origin.id, *parts}
        return [hop for hop in hops if hop.place.startswith("out:") and hop.causation_id in family and hop.operation]

    def _answer(self, hop: Hop) -> dict[str, Any]:
        """What it was told; nothing where it was merely taken."""
        endpoint, key = hop.place[4:], (hop.operation or "", hop.message_id)
        entry = self._t.inbox.seen(endpoint, [key]).get(key)
        if entry is not None and entry.state == "rejected":
            failure, _ = stored_failure(entry.reply)
            return _failed(failure.kind, str(failure))
        if entry is not None and entry.state == "done":
            return self._done(endpoint, hop.operation or "", entry.reply)
        return _failed(hop.error_kind or "", hop.error or "") if hop.status in _OPEN else {}

    def _done(self, endpoint: str, operation: str, kept: bytes | None) -> dict[str, Any]:
        loaded = self._definition.endpoints.get(endpoint)
        if loaded is None or operation not in loaded.operations:
            return {}
        format = FORMATS[loaded.format](loaded.format_settings)
        answer = Replies(loaded, format, self._parts.contracts).read(operation, stored_reply(kept))
        if answer.error is not None:
            return _failed(getattr(answer.error, "kind", ""), str(answer.error))
        ref = loaded.operations[operation].common.reply or ""
        mask, document = self._parts.masks.of(ref.rpartition("/v")[0]), decode_json(answer.body)
        covered = document if mask is None else mask.document(document)
        shown = filled(covered, self._parts.contracts.get(ref), self._definition.contracts)
        return {} if shown is None else {"done": shown}

    def _asked(self, hop: Hop) -> dict[str, Any]:
        """The document that it was told so; without what is hidden, for that is another one in the case."""
        if hop.body is None or hop.content_type != JSON:
            return {}
        return {"asked": without(decode_json(bytes(hop.body)))}


def _failed(kind: str, text: str) -> dict[str, Any]:
    return {"failed": kind if kind in failures() else "refused", "text": text}


def _plainest(answers: Sequence[dict[str, Any]]) -> Any:
    """A single answer that was well is meant for anything; a failure only for what failed, for that shall be mended."""
    if len(answers) == 1 and "done" in answers[0]:
        return {"done": answers[0]["done"]}
    return answers[0] if len(answers) == 1 else list(answers)


def _without_secrets(value: Any, definition: Definition) -> Any:
    if isinstance(value, str):
        return redact(value, definition.secrets)
    if isinstance(value, dict):
        return {name: _without_secrets(item, definition) for name, item in value.items()}
    return [_without_secrets(item, definition) for item in value] if isinstance(value, list) else value
