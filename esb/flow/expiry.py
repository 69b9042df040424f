"""When a message is worth nothing any more: headers that travel with it and with all that comes of it.

``expirytime`` is the extension attribute of that name of CloudEvents.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from esb.errors import MessageError
from esb.message import Message, rfc3339

TIME, THEN = "expirytime", "expiry-action"


class Expired(MessageError):  # noqa: N818 - says what happened
    """The message came too late to be of use. ``dropped``: nobody needs to look at it."""

    kind = "expired"

    def __init__(self, text: str, dropped: bool) -> None:
        super().__init__(text)
        self.dropped = dropped


def expiring(message: Message, when: float, then: Literal["park", "drop"]) -> Message:
    """The same message, worth nothing from ``when`` on (epoch seconds)."""
    headers = {name: value for name, value in message.headers.items() if name not in (TIME, THEN)}
    headers |= {TIME: rfc3339(when)} | ({THEN: then} if then == "drop" else {})
    return msgspec.structs.replace(message, headers=headers)


def expired(message: Message, now: float) -> Expired | None:
    """Why a message must not go on at ``now`` (epoch seconds), if it must not."""
    text = message.headers.get(TIME)
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None  # from outside, and nothing that tells a time
    dropped = message.headers.get(THEN) == "drop"
    return Expired(f"it was of use until {text}", dropped) if now > when else None
