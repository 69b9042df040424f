"""From an attempt to everything that has to be written down for it. Pure; the endpoint worker performs it."""

from __future__ import annotations

import msgspec

from esb.broker.port import EFFECT, Outgoing
from esb.config.definition import LoadedEndpoint
from esb.flow.expiry import Expired
from esb.message import new_id
from esb.recovery import BreakerState, InDoubt, Park, RetryLater, decide, failure_of
from esb.store import IN_DOUBT, Held, Hop, InboxEntry, Parked, Status, Timer
from esb.worker.attempt import Attempt, DeadlinePassed, delays_used, first_failed, too_late
from esb.worker.inbox import key_of
from esb.worker.replies import Answer, Rejected, Replies, asked, kept_failure, kept_reply, wanted
from esb.worker.rows import ATTEMPT, FAILED, Journal, fit, kind_of, text_of, uncounted

LONGEST_DELAY_QUEUE = 3600.0  # seconds; beyond it a timer row waits instead of a queue
_NO_MORE = 10**6  # tries, so that no decision here can be "retry now": those are over


class Verdict(msgspec.Struct, kw_only=True):
    """What one attempt leaves behind: at most one of ``outgoing``, ``timer``, ``parked`` and ``reply``.

    ``held`` stands for the first two, or beside the third.
    """

    attempt: Attempt
    hop: Hop
    done: InboxEntry | None = None
    rejected: InboxEntry | None = None
    forget: bool = False  # the inbox row "started" goes: certainly nothing happened
    let_go: bool = False  # it stays, in doubt, for whoever tries next
    outgoing: Outgoing | None = None
    timer: Timer | None = None
    parked: Parked | None = None
    held: Held | None = None  # it stops its line
    reply: Outgoing | None = None  # goes out after the commit

    @property
    def doubtful(self) -> bool:
        """Nobody can know what came of it."""
        return self.parked is not None and self.parked.kind == IN_DOUBT

    @property
    def ended(self) -> bool:
        """Nothing more will be done about it here."""
        return self.done is not None or self.rejected is not None or self.hop.status is Status.DISCARDED

    def sanitised(self) -> Verdict:
        """The same with every text made fit for a database that refused it."""
        return msgspec.structs.replace(self, hop=self.hop.sanitised())


def judge(
    attempt: Attempt, replies: Replies, journal: Journal, breaker: BreakerState, owner: str, now: float
) -> Verdict:
    """Decide about an attempt. ``breaker`` is the state after all attempts of the batch were told to it."""
    endpoint = replies.endpoint
    if attempt.put_off:
        return _later(attempt, endpoint, journal, RetryLater(attempt.put_off, counts=False), now)
    if attempt.error is None:
        return _completed(attempt, replies, journal, owner, now)
    if isinstance(attempt.error, Expired) and attempt.error.dropped and not wanted(attempt.delivery):
        return Verdict(
            attempt=attempt, hop=_hop(attempt, endpoint, journal, Status.DISCARDED, now), forget=attempt.harmless
        )
    decision = _decide(attempt, endpoint, breaker, now)
    if isinstance(decision, RetryLater):
        if not too_late(attempt.delivery, now + decision.seconds):
            return _later(attempt, endpoint, journal, decision, now)
        attempt.error = DeadlinePassed(f"no time is left for another try; the last one: {text_of(attempt.error)}")
        decision = Park(str(attempt.error))
    if isinstance(decision, Park) and wanted(attempt.delivery):
        return _rejected(attempt, replies, journal, owner, now)
    assert isinstance(decision, Park | InDoubt)
    return _parked(attempt, endpoint, journal, decision, now)


def _decide(attempt: Attempt, endpoint: LoadedEndpoint, breaker: BreakerState, now: float) -> object:
    assert attempt.error is not None
    operation = endpoint.operations.get(attempt.operation)
    failure = failure_of(
        attempt.error, attempt=_NO_MORE, delayed=delays_used(attempt.delivery),
        first_failed=first_failed(attempt.delivery, now), now=now, breaker=breaker,
        overspent=attempt.overspent,
    )  # fmt: skip
    effect, in_doubt = (operation.effect, operation.in_doubt) if operation else ("unkeyed", "park")
    return decide(endpoint.recovery, effect, in_doubt, failure)


def _completed(attempt: Attempt, replies: Replies, journal: Journal, owner: str, now: float) -> Verdict:
    endpoint, reply = replies.endpoint, attempt.reply
    done = _ended(attempt, endpoint, owner, now, kept_reply(reply) if reply else None)
    detail = fit(replies.shown(reply.detail, attempt.operation, reply)) if reply else None
    hop = _hop(attempt, endpoint, journal, Status.COMPLETED, now, detail=detail)
    verdict = Verdict(attempt=attempt, hop=hop, done=done)
    if reply and wanted(attempt.delivery):
        answer = replies.read(attempt.operation, reply)
        verdict.reply = replies.to(attempt.delivery, answer)
        if answer.error:
            verdict.hop = _hop(attempt, endpoint, journal, Status.REJECTED, now, answer.error, detail)
    return verdict


def _rejected(attempt: Attempt, replies: Replies, journal: Journal, owner: str, now: float) -> Verdict:
    """Somebody asked and waits: who asked is told, and decides."""
    assert attempt.error is not None
    # Who asked writes it down beside another message, which does not know what this one hides.
    text = journal.text(text_of(attempt.error), attempt.delivery.message)
    error = Rejected(kind_of(attempt.error), text, effect_unknown=_is_doubtful(attempt))
    entry = _ended(attempt, replies.endpoint, owner, now, kept_failure(error, asked(attempt.delivery)))
    return Verdict(
        attempt=attempt,
        hop=_hop(attempt, replies.endpoint, journal, Status.REJECTED, now),
        rejected=entry,
        reply=replies.to(attempt.delivery, Answer(error=error)),
    )


def _is_doubtful(attempt: Attempt) -> bool:
    """Whether it may have taken place, now or at an earlier try."""
    return attempt.doubtful or not attempt.harmless or attempt.delivery.properties.get(EFFECT) == "unknown"


def _ended(attempt: Attempt, endpoint: LoadedEndpoint, owner: str, now: float, reply: bytes | None) -> InboxEntry:
    operation, message_id = key_of(attempt.delivery)
    return InboxEntry(
        endpoint=endpoint.name, operation=operation, message_id=message_id, owner=owner, at=now, reply=reply
    )


def _later(attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, wait: RetryLater, now: float) -> Verdict:
    delivery = attempt.delivery
    properties = dict(delivery.properties)
    if attempt.error is not None:
        properties[FAILED] = str(first_failed(delivery, now))
    if attempt.doubtful:
        properties[EFFECT] = "unknown"
    if wait.counts:
        properties[ATTEMPT] = str(delays_used(delivery) + 1)
    verdict = Verdict(attempt=attempt, hop=_hop(attempt, endpoint, journal, Status.RETRYING, now))
    verdict.forget = attempt.harmless
    verdict.let_go = attempt.error is not None and not attempt.harmless
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
    attempt: Attempt, endpoint: LoadedEndpoint, journal: Journal, status: Status, now: float,
    error: Exception | None = None, detail: str | None = None,
) -> Hop:  # fmt: skip
    error = error or attempt.error
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
