"""Deciding for a command that is parked at an endpoint, in doubt above all: a person looked, and knows what happened.

Nothing is sent. The inbox, the journey and the audit say what was decided, and whoever asked is answered through the
outbox, all in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from esb.broker.port import REPLY_TO, Delivery, Outgoing
from esb.errors import EsbError
from esb.ports import Reply
from esb.store import Dispatch, InboxEntry, Parked, Status, Transaction
from esb.worker.replies import Answer, Rejected, Replies, asked, kept_failure, kept_reply, reply_to, wanted
from esb.worker.rows import fit

Key = tuple[str, str]  # message id, place


class NotSettled(EsbError):  # noqa: N818 - says what is so
    """The decision cannot be carried out; nothing has changed."""

    kind = "not settled"


def done(t: Transaction, replies: Replies, row: Parked, reply: Reply, who: str, why: str) -> None:
    """It took place, and this is what the other side answered (or would have).

    Args:
        t: the transaction.
        replies: of the endpoint at which it is parked.
        row: the parked command.
        reply: the answer; empty where there is none.
        who, why: for the audit.

    Raises:
        NotSettled: it is not parked any more, or the answer does not meet the operation's reply contract.
    """
    delivery = _command(t, row)
    answer = replies.read(row.operation, reply)
    if answer.error is not None and wanted(delivery):
        raise NotSettled(str(answer.error))
    _decide(t, row, "settle as done", Status.COMPLETED, who, why)
    t.inbox.done([_entry(replies.endpoint.name, row, kept_reply(reply), who)])
    _send(t, replies.to(delivery, answer))


def failed(t: Transaction, replies: Replies, row: Parked, who: str, why: str) -> None:
    """It did not take place: whoever asked is told so. Arguments and errors as for :func:`done`."""
    delivery = _command(t, row)
    if not wanted(delivery):
        raise NotSettled("nobody waits for an answer to this message: discard it, or retry it")
    error = Rejected(row.kind, why or f"settled as failed by {who}")
    _decide(t, row, "settle as failed", Status.REJECTED, who, why)
    t.inbox.rejected([_entry(replies.endpoint.name, row, kept_failure(error, asked(delivery)), who)])
    _send(t, replies.to(delivery, Answer(error=error)))


def discard(t: Transaction, keys: Sequence[Key], who: str, why: str) -> int:
    """Give parked messages up; a flow or saga that waits for the answer to one is told that it failed.

    Args and the audit as for :func:`done`. How many there were: of two people who act at once, one gets each message.
    """
    rows = t.parked.some([key for key in keys if key[1].startswith("out:")])
    asking = {row.key: (row, _command(t, row)) for row in rows if row.properties.get(REPLY_TO)}
    given_up = t.parked.discard(keys, who=who, why=why)
    for row, delivery in (asking[key] for key in given_up if key in asking):
        # Giving up is not knowing: a saga that asked has to undo the step.
        error = Rejected(row.kind, why or f"discarded by {who}", effect_unknown=True)
        endpoint = row.place.removeprefix("out:")
        t.inbox.rejected([_entry(endpoint, row, kept_failure(error, asked(delivery)), who)])
        _send(t, reply_to(delivery, endpoint, "", Answer(error=error)))
    return len(given_up)


def _command(t: Transaction, row: Parked) -> Delivery:
    """The command as it came: what an answer inherits from it (headers, the business key) may be hidden in the row."""
    if not row.place.startswith("out:"):
        raise NotSettled(f"{row.message.id} is parked at {row.place}: only what was sent to an endpoint is settled")
    return Delivery(t.parked.original(row.key) or row.message, row.queue, None, properties=row.properties)


def _decide(t: Transaction, row: Parked, act: str, status: Status, who: str, why: str) -> None:
    if not t.parked.settle(row.key, act, who, why):
        raise NotSettled(f"{row.message.id} is not parked at {row.place} any more")
    t.tracking.settle(row.key, status)


def _entry(endpoint: str, row: Parked, reply: bytes, who: str) -> InboxEntry:
    return InboxEntry(
        endpoint=endpoint, operation=row.operation, message_id=row.key[0], owner=fit(who),
        at=row.parked_at, reply=reply,
    )  # fmt: skip


def _send(t: Transaction, reply: Outgoing | None) -> None:
    if reply is not None:
        t.outbox.add([Dispatch(message=reply.message, to=reply.to, properties=reply.properties)])
