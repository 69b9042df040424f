"""Message Sequence: headers that say of which whole a message is a part, and which of how many."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from esb.errors import MessageError
from esb.message import Message

ID, NUMBER, SIZE = "sequence-id", "sequence-number", "sequence-size"
_NAMES = frozenset({ID, NUMBER, SIZE})


class Place(NamedTuple):
    """``number`` counts from 1 to ``size``; ``id`` is that of the message that was split."""

    id: str
    number: int
    size: int


def numbered(message: Message, place: Place) -> Message:
    """A part that says where it belongs."""
    headers = {**message.headers, ID: place.id, NUMBER: str(place.number), SIZE: str(place.size)}
    return msgspec.structs.replace(message, headers=headers)


def place_of(message: Message) -> Place:
    """Where a part belongs. Raises ``MessageError`` when it does not say."""
    id, number, size = (message.headers.get(name, "") for name in (ID, NUMBER, SIZE))
    if not (id and _counts(number) and _counts(size)):
        raise MessageError(
            f"the message does not say of what it is a part (headers {ID}, {NUMBER}, {SIZE}): a split with "
            "sequence: true sets them"
        )
    return Place(id, int(number), int(size))


def without_sequence(message: Message) -> Message:
    """The whole is no part any more."""
    if _NAMES.isdisjoint(message.headers):
        return message
    return msgspec.structs.replace(message, headers={k: v for k, v in message.headers.items() if k not in _NAMES})


def _counts(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < 10
