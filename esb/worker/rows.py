"""What workers write down of a hop: pure functions from messages and results to rows of the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace
from pydantic import SecretStr

from esb.config import redact
from esb.flow import StepTrace
from esb.masking import About, Mask, Masks
from esb.message import Message
from esb.store import Hop, Parked, Status
from esb.store.text import cut

_pack = msgspec.msgpack.Encoder().encode
_steps = msgspec.msgpack.Decoder(list[StepTrace])
_TEXTS = frozenset({"error", "detail"})
_WORD_FOR_UNEXPECTED = "internal"
_SET_ASIDE = (Status.PARKED, Status.IN_DOUBT)
_LONGEST_KEY = 500  # characters; what the store keeps of an id
ATTEMPT, FAILED = "attempt", "failed"  # properties: delays used up, and when it first failed


class Journal(msgspec.Struct, frozen=True):
    """What is stored of each message: how much (``journey:``), under which definition, and with what hidden.

    All rows that people read are made here, so that nothing masked and no secret gets past.
    """

    journey: str
    definition: str
    masks: Masks
    secrets: tuple[SecretStr, ...]

    def hop(self, message: Message, place: str, status: Status, **more: Any) -> Hop:
        """A row for ``message`` at ``place``; bodies and headers as far as the journey level says."""
        mask = self.masks.of(message.type)
        if mask is not None or more.get("error") or more.get("detail"):
            message, more = self._shown(message, mask, more)
        aside = status in _SET_ASIDE
        whole = aside or self.journey == "full"
        headed = whole or self.journey == "headers"
        if aside and message.is_test:
            status = Status.DISCARDED  # nobody has to decide about it
        return Hop(
            message_id=message.id,
            place=place,
            status=status,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id,
            type=message.type,
            version=message.version,
            source=message.source,
            subject=message.subject,
            time=message.time,
            definition=self.definition,
            headers=_pack(message.headers) if headed and message.headers else None,
            content_type=message.content_type,
            body=message.body if whole else None,
            **more,
        )

    def parked(self, message: Message, place: str, queue: str, cause: Exception, now: float, **more: Any) -> Parked:
        """A row of the failed-message store: the whole message and why it lies there."""
        more.setdefault("first_failed", now)
        more.setdefault("kind", kind_of(cause))
        more.setdefault("error", text_of(cause))
        mask = self.masks.of(message.type)
        shown, more = self._shown(message, mask, more)
        original = None if mask is None else message
        return Parked(
            message=shown,
            original=original,
            place=place,
            queue=queue,
            parked_at=now,
            definition=self.definition,
            **more,
        )

    def _shown(self, message: Message, mask: Mask | None, fields: dict[str, Any]) -> tuple[Message, dict[str, Any]]:
        """A message, and what is said of it, as they may be seen."""
        about = None if mask is None else mask.about(message)
        for name in _TEXTS & fields.keys():
            if fields[name]:
                fields[name] = self._text(fields[name], about)
        if about is None:
            return message, fields
        if fields.get("steps"):
            steps = _steps.decode(fields["steps"])
            fields["steps"] = _pack([replace(step, outcome=about.text(step.outcome)) for step in steps])
        return about.message(), fields

    def text(self, text: str, message: Message) -> str:
        """A text about a message (an error, an endpoint's answer, a line of a log) as it may be seen."""
        return self.texts(message)(text)

    def texts(self, message: Message) -> Callable[[str], str]:
        """As :meth:`text`, for any number of texts: what the message hides is sought out once."""
        mask = self.masks.of(message.type)
        about = None if mask is None else mask.about(message)
        return lambda text: self._text(text, about)

    def _text(self, text: str, about: About | None) -> str:
        return redact(self.masks.unquoted(text if about is None else about.text(text)), self.secrets)


def kind_of(error: Exception) -> str:
    """The stable word that failures are grouped by."""
    return getattr(error, "kind", _WORD_FOR_UNEXPECTED)


def text_of(error: Exception) -> str:
    """What is shown of a failure."""
    return str(error) if hasattr(error, "kind") else f"{type(error).__name__}: {error}"


def fit(id: str) -> str:
    """An id (of a foreign message it may be any text) as a key that every database takes."""
    return cut(id, _LONGEST_KEY)


def uncounted(properties: Mapping[str, str]) -> dict[str, str]:
    """Properties without what counts attempts: a person who tries again starts from the first."""
    return {name: value for name, value in properties.items() if name not in (ATTEMPT, FAILED)}


def packed(value: object) -> bytes:
    """Any plain value as MessagePack."""
    return _pack(value)
