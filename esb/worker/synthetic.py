"""Test Message (Hohpe & Woolf): one that is no business goes through a flow, to see that it works from end to end.

Its correlation id begins with ``test:``, and so does that of all that comes of it. By that mark the endpoints keep it
from the systems behind them, state keeps it apart from business, and counts and searches leave it out. Whether it came
to its end is read from its journey; nothing else is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from esb.config.definition import Definition, LoadedFlow
from esb.config.mappings import plain
from esb.contract import Contract
from esb.errors import MessageError
from esb.message import TEST, Message, content_id, create
from esb.store import FINAL, Dispatch, Hop, Status, Transaction
from esb.units import duration_text
from esb.worker.queues import queue_of
from esb.worker.rows import Journal

MOST = 1000  # rows of one journey that are looked at
State = Literal["never sent", "under way", "passed", "failed"]
_encode = msgspec.json.Encoder().encode


class Fared(msgspec.Struct, frozen=True):
    """How a flow's latest test message fared. ``at``: when it was sent, epoch seconds; ``id`` finds its journey."""

    flow: str
    state: State
    text: str = ""
    at: float = 0.0
    id: str = ""


def job_of_test(flow: str) -> str:
    """The name of the job that sends a flow's test messages."""
    return f"{TEST}{flow}"


def send_test(
    t: Transaction, definition: Definition, journal: Journal, flow: LoadedFlow, moment: float, now: float
) -> Message:
    """Journey and message, in one transaction. The flow must have a test message.

    Args:
        t: the transaction.
        definition: of the bus.
        journal: writes the row.
        flow: to be tested.
        moment: what the message is for, epoch seconds; a moment has one message.
        now: epoch seconds.
    """
    message = message_of(definition, flow, moment)
    t.tracking.record([
        journal.hop(
            message, job_of_test(flow.name), Status.ACCEPTED, received_at=now, ended_at=now, attempts=1, sent=1
        )
    ])  # fmt: skip
    t.outbox.add([Dispatch(message=message, to=queue_of(flow))])
    return message


def message_of(definition: Definition, flow: LoadedFlow, moment: float) -> Message:
    """The message of a moment: the same moment gives the same one, whoever makes it and how often."""
    assert flow.test_message is not None
    document = plain(flow.test_message.document)
    contract = _contract(definition, flow)
    subject = flow.test_message.subject
    if subject is None and contract is not None:
        subject = _subject(contract, document)
    type, version = (contract.type, contract.version) if contract else (_bare_type(flow), 0)
    mark = f"{job_of_test(flow.name)}:{int(moment * 1000):013}"
    return create(
        _encode(document), type=type, version=version, source="test", id=content_id(mark, when=moment), time=moment,
        correlation_id=mark, subject=subject,
    )  # fmt: skip


def fared(t: Transaction, flow: LoadedFlow, now: float) -> Fared:
    """How the latest test message of a flow fared, as its journey says at ``now`` (epoch seconds)."""
    runs = t.tracking.test_runs(flow.name, 1)
    if not runs:
        return Fared(flow.name, "never sent")
    return judge(flow, t.tracking.find(correlation_id=runs[0], limit=MOST), now)


def judge(flow: LoadedFlow, hops: Sequence[Hop], now: float) -> Fared:
    """The same of a journey. Pure."""
    assert flow.test_message is not None
    entry = next(hop for hop in hops if hop.place.startswith(TEST))
    state, text = _state(flow, hops, now - entry.received_at)
    return Fared(flow.name, state, text, entry.received_at, entry.correlation_id)


def _state(flow: LoadedFlow, hops: Sequence[Hop], age: float) -> tuple[State, str]:
    assert flow.test_message is not None
    failed = next((hop for hop in hops if hop.status is Status.DISCARDED and hop.error_kind), None)
    if failed is not None:
        return "failed", f"{failed.error_kind} at {failed.place}: {failed.error}"
    limit, missing = flow.test_message.within, _missing(flow.test_message.reaches, hops)
    ended = _ended(flow, hops)
    if ended and not missing:
        return "passed", f"{sum(hop.place.startswith('out:') for hop in hops)} sent"
    if age <= limit:
        return "under way", ""
    if not ended:
        return "failed", f"not at its end after {duration_text(limit)}: it was last seen at {_last(hops)}"
    return "failed", f"did not reach {', '.join(missing)} within {duration_text(limit)}"


def _ended(flow: LoadedFlow, hops: Sequence[Hop]) -> bool:
    """The flow is through with it, and so is every endpoint with what was sent."""
    sent = sum(hop.sent for hop in hops if hop.place.startswith(("flow:", "saga:")))
    out = sum(hop.place.startswith("out:") for hop in hops)
    through = any(hop.place == f"flow:{flow.name}" for hop in hops)
    return through and out >= sent and all(hop.status >= FINAL or hop.status is Status.REJECTED for hop in hops)


def _missing(reaches: Sequence[str], hops: Sequence[Hop]) -> list[str]:
    reached = {hop.place for hop in hops if hop.status in (Status.COMPLETED, Status.COMPENSATED)}
    return [name for name in reaches if f"out:{name}" not in reached]


def _last(hops: Sequence[Hop]) -> str:
    return max(hops, key=lambda hop: hop.received_at).place


def _contract(definition: Definition, flow: LoadedFlow) -> Contract | None:
    endpoint = definition.endpoints.get(flow.source)
    ref = endpoint.receive.common.contract if endpoint and endpoint.receive else flow.source if flow.is_event else None
    return Contract(ref, definition.contracts[ref], definition.contracts) if ref else None


def _bare_type(flow: LoadedFlow) -> str:
    """Of a message without a contract, as those have it that come in otherwise."""
    return f"{flow.name}.scheduled" if flow.schedule else flow.source


def _subject(contract: Contract, document: object) -> str | None:
    try:
        return contract.subject(document)
    except MessageError:
        return None  # the flow will say what is wrong with the document
