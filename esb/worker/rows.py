"""What workers write down of a hop: pure functions from messages and results to rows of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from esb.message import Message
from esb.store import Hop, Parked, Status
from esb.store.text import cut

_pack = msgspec.msgpack.Encoder().encode
_WORD_FOR_UNEXPECTED = "internal"
_LONGEST_KEY = 500  # characters; what the store keeps of an id
ATTEMPT, FAILED = "attempt", "failed"  # properties: delays used up, and when it first failed


class Journal(msgspec.Struct, frozen=True):
    """How much of each message is stored (``journey:``), and under which definition."""

    journey: str
    definition: str

    def hop(self, message: Message, place: str, status: Status, **more: Any) -> Hop:
        """A row for ``message`` at ``place``; bodies and headers as far as the journey level says."""
        whole = self.journey == "full" or status in (Status.PARKED, Status.IN_DOUBT)
        headed = whole or self.journey == "headers"
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
        return Parked(
            message=message, place=place, queue=queue, parked_at=now, definition=self.definition, **more
        )  # fmt: skip


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
