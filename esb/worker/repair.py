"""What a person does with parked messages: send them on, give them up, change one.

The command line and the pages call the same functions. Large selections are worked off in pieces, each a transaction
of its own, so that nobody else waits for long: discards at once, retries as a replay by the role jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

import msgspec

from esb.contract import Contract
from esb.errors import EsbError
from esb.flow import Parts
from esb.flow.run import read
from esb.masking import Mask
from esb.message import JSON, Message
from esb.store import Chosen, Plan, Store
from esb.worker.replays import send_on
from esb.worker.settle import discard

Act = Literal["retry", "discard"]
Key = tuple[str, str]  # message id, place
PIECE = 500  # messages acted on in one transaction
_encode = msgspec.json.Encoder().encode


class NotParked(EsbError):  # noqa: N818 - says what is so
    """Somebody else was quicker, or it never was."""

    kind = "not parked"


class Acted(msgspec.Struct, frozen=True):
    """What an act came to: so many messages; with the id of a replay they are still to be sent on."""

    count: int
    replay: str = ""


def act_on(
    store: Store, act: Act, meant: Chosen | Sequence[Key], who: str, why: str, piece: int = PIECE
) -> Acted:  # fmt: skip
    """Send parked messages on again from where they failed, or give them up.

    Args:
        store: where they are.
        act: what to do.
        meant: their keys, or what they have in common. In the latter case give ``until``: what fails again while this
            goes on would otherwise be taken again.
        who, why: for the audit, which gets an entry a message.
        piece: messages a transaction.
    """
    if act == "retry":
        chosen = [key for keys in _pieces(store, meant, piece) for key in keys]
        with store.transaction() as t:
            done = send_on(t, chosen, who, why)
        return Acted(len(chosen) if done.replay else done.sent, done.replay)
    count = 0
    for keys in _pieces(store, meant, piece):
        with store.transaction() as t:
            count += discard(t, keys, who, why)
    return Acted(count)


def replay(store: Store, meant: Chosen | Sequence[Key], plan: Plan, who: str, why: str) -> Acted:
    """Send parked messages on again with care, as ``plan`` says; arguments as for :func:`act_on`.

    The jobs role goes on with it; nothing is sent on by this.
    """
    chosen = [key for keys in _pieces(store, meant, PIECE) for key in keys]
    with store.transaction() as t:
        id = t.replays.start(chosen, who, why, plan)
        t.replays.note(id, "start replay", who, why)
    return Acted(len(chosen), id)


def _pieces(store: Store, meant: Chosen | Sequence[Key], piece: int) -> Iterator[Sequence[Key]]:
    if not isinstance(meant, Chosen):
        keys = iter(meant)
        while part := list(islice(keys, piece)):
            yield part
        return
    after: tuple[float, str, str] | None = None
    while True:
        with store.reading() as t:
            rows = t.parked.find(meant, after=after, limit=piece)
        if not rows:
            return
        after = rows[-1].cursor
        yield [row.key for row in rows]


def edit(
    store: Store, parts: Parts, key: Key, body: bytes, who: str, why: str
) -> Message:  # fmt: skip
    """Put another body into a parked message; it stays parked, and a retry sends this one on, under the same id.

    Where a hidden field still reads ``***``, its value stays as it is. Returns the message as it may be shown.

    Raises:
        NotParked: it is not there any more.
        MessageError: the body is no JSON, or breaks the message's contract. Nothing is changed then.
    """
    with store.transaction() as t:
        original = t.parked.original(key)
        if original is None:
            raise NotParked(f"{key[0]} is not parked at {key[1]} any more")
        hidden = parts.masks.of(original.type)
        message = _edited(original, body, hidden, parts.contracts.get(original.contract))
        shown = message if hidden is None else hidden.message(message)
        t.parked.edit(key, shown, None if hidden is None else message, who, why)
    return shown


def _edited(original: Message, body: bytes, hidden: Mask | None, contract: Contract | None) -> Message:
    if original.content_type != JSON:
        return msgspec.structs.replace(original, body=body)
    document = read(msgspec.structs.replace(original, body=body))
    if hidden is not None:
        document = hidden.restored(document, read(original))
    if contract is None:
        return msgspec.structs.replace(original, body=_encode(document))
    contract.check(document)
    subject = contract.subject(document) or original.subject
    return msgspec.structs.replace(original, body=_encode(document), subject=subject)
