"""From an attempt to everything that has to be written down for it. Pure; the endpoint worker performs it."""

from __future__ import annotations

import msgspec

from esb.broker.port import Outgoing
from esb.config.definition import LoadedEndpoint
from esb.message import new_id
from esb.recovery import BreakerState, InDoubt, Park, RetryLater, decide, failure_of
from esb.store import IN_DOUBT, Hop, InboxEntry, Parked, Status, Timer
from esb.worker.attempt import Attempt, delays_used, first_failed
from esb.worker.inbox import key_of
from esb.worker.rows import ATTEMPT, FAILED, Journal, fit, kind_of, packed, text_of, uncounted

LONGEST_DELAY_QUEUE = 3600.0  # seconds; beyond it a timer row waits instead of a queue
_NO_MORE = 10**6  # tries, so that no decision here can be "retry now": those are over


class Verdict(msgspec.Struct, kw_only=True):
    """What one attempt leaves behind: at most one of ``outgoing``, ``timer`` and ``parked``."""

    attempt: Attempt
    hop: Hop
    done: InboxEntry | None = None
    forget: bool = False  # the inbox row "started" goes: certainly nothing happened
    outgoing: Outgoing | None = None
    timer: Timer | None = None
    parked: Parked | None = None

    def sanitised(self) -> Verdict:
        """The same with every text made fit for a database that refused it."""
        return msgspec.structs.replace(self, hop=self.hop.sanitised())


def judge(
    attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, breaker: BreakerState, owner: str, now: float
) -> Verdict:
    """Decide about an attempt. ``breaker`` is the state after all attempts of the batch were told to it."""
    if attempt.put_off:
        return _later(attempt, endpoint, journal, RetryLater(attempt.put_off, counts=False), now)
    if attempt.error is None:
        return _completed(attempt, endpoint, journal, owner, now)
    decision = _decide(attempt, endpoint, breaker, now)
    if isinstance(decision, RetryLater):
        return _later(attempt, endpoint, journal, decision, now)
    assert isinstance(decision, Park | InDoubt)
    return _parked(attempt, endpoint, journal, decision, now)


def _decide(attempt: Attempt, endpoint: LoadedEndpoint, breaker: BreakerState, now: float) -> object:
    assert attempt.error is not None
    operation = endpoint.operations.get(attempt.operation)
    failure = failure_of(
        attempt.error, attempt=_NO_MORE, delayed=delays_used(attempt.delivery),
        first_failed=first_failed(attempt.delivery, now), now=now, breaker=breaker,
    )  # fmt: skip
    effect, in_doubt = (operation.effect, operation.common.in_doubt) if operation else ("unkeyed", "park")
    return decide(endpoint.recovery, effect, in_doubt, failure)


def _completed(attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, owner: str, now: float) -> Verdict:
    operation, message_id = key_of(attempt.delivery)
    reply = attempt.reply
    done = InboxEntry(
        endpoint=endpoint.name, operation=operation, message_id=message_id, state="done", owner=owner, at=now,
        reply=packed([fit(reply.detail), reply.body, fit(reply.content_type)]) if reply else None,
    )  # fmt: skip
    hop = _hop(attempt, endpoint, journal, Status.COMPLETED, now, detail=fit(reply.detail) if reply else None)
    return Verdict(attempt=attempt, hop=hop, done=done)


def _later(attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, wait: RetryLater, now: float) -> Verdict:
    delivery = attempt.delivery
    properties = dict(delivery.properties)
    if attempt.error is not None:
        properties[FAILED] = str(first_failed(delivery, now))
    if wait.counts:
        properties[ATTEMPT] = str(delays_used(delivery) + 1)
    verdict = Verdict(attempt=attempt, hop=_hop(attempt, endpoint, journal, Status.RETRYING, now))
    verdict.forget = attempt.harmless
    if wait.seconds <= LONGEST_DELAY_QUEUE:
        verdict.outgoing = Outgoing(delivery.message, delivery.queue, delay=wait.seconds, properties=properties)
    else:
        verdict.timer = Timer(
            id=new_id(), due_at=now + wait.seconds, to=delivery.queue, message=delivery.message, properties=properties,
        )  # fmt: skip
    return verdict


def _parked(attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, why: Park | InDoubt, now: float) -> Verdict:
    delivery, doubt = attempt.delivery, isinstance(why, InDoubt)
    status = Status.IN_DOUBT if doubt else Status.PARKED
    assert attempt.error is not None
    row = journal.parked(
        delivery.message, f"out:{endpoint.name}", delivery.queue, attempt.error, now,
        kind=IN_DOUBT if doubt else kind_of(attempt.error), error=why.reason, operation=attempt.operation,
        attempts=_attempts(attempt), first_failed=first_failed(delivery, now),
        properties=uncounted(delivery.properties),
    )  # fmt: skip
    hop = _hop(attempt, endpoint, journal, status, now)
    return Verdict(attempt=attempt, hop=hop, parked=row, forget=attempt.harmless)


def _hop(
    attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, status: Status, now: float, detail: str | None = None
) -> Hop:  # fmt: skip
    error = attempt.error
    return journal.hop(
        attempt.delivery.message,
        f"out:{endpoint.name}",
        status,
        operation=attempt.operation,
        received_at=attempt.started,
        ended_at=now,
        attempts=_attempts(attempt),
        error_kind=kind_of(error) if error else None,
        error=text_of(error) if error else None,
        detail=detail,
    )


def _attempts(attempt: Attempt) -> int:
    return delays_used(attempt.delivery) + max(attempt.tries, 1)
