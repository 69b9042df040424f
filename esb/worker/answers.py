"""What endpoints answered, read from where it is kept to answer a repeated command; what is hidden in it is covered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from esb.config import Definition
from esb.flow import Parts
from esb.formats.numbers import decode_json
from esb.ports import Format
from esb.store import Transaction
from esb.worker.replies import Replies, stored_failure, stored_reply


class Told(msgspec.Struct, frozen=True):
    """An answer: its document, or why there is none (``error``)."""

    document: Any = None
    error: Exception | None = None


class Answers:
    """Reads them. May be shared by threads."""

    def __init__(self, definition: Definition, parts: Parts, formats: Mapping[str, Format]) -> None:
        """Args: a definition and what it compiles to; the formats of endpoints, by name."""
        self._definition = definition
        self._parts = parts
        self._formats = formats

    def of(self, t: Transaction, endpoint: str, operation: str, message_id: str) -> Told | None:
        """What one command was told; None: nothing (any more), or nobody knows how to read it."""
        key = (operation, message_id)
        entry = t.inbox.seen(endpoint, [key]).get(key)
        loaded = self._definition.endpoints.get(endpoint)
        if entry is None or loaded is None or operation not in loaded.operations or endpoint not in self._formats:
            return None
        if entry.state != "done":
            return Told(error=stored_failure(entry.reply)[0])
        replies = Replies(loaded, self._formats[endpoint], self._parts.contracts)
        answer = replies.read(operation, stored_reply(entry.reply))
        if answer.error is not None:
            return Told(error=answer.error)
        mask = self._parts.masks.of((loaded.operations[operation].common.reply or "").rpartition("/v")[0])
        document = decode_json(answer.body)
        return Told(document if mask is None else mask.document(document))
