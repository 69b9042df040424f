"""What an endpoint worker writes down: one commit for a batch of messages whose sending has ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from esb.broker.port import Delivery
from esb.config.definition import LoadedEndpoint
from esb.errors import RowRefused
from esb.store import RETRY, Dispatch, Transaction
from esb.worker import suspects
from esb.worker.context import Context
from esb.worker.inbox import key_of
from esb.worker.replies import wanted
from esb.worker.thread import commit
from esb.worker.turns import Turns
from esb.worker.verdict import Verdict


class Record:
    """Of one endpoint, as one worker keeps it.

    ``told``: of the last batch, what was in doubt here and wants an answer, when somebody else had told how it ended.
    """

    def __init__(
        self,
        context: Context,
        endpoint: LoadedEndpoint,
        turns: Turns,
        marks: suspects.Marks,
        stopping: threading.Event,
    ) -> None:
        self.told: list[Delivery] = []
        self._context = context
        self._endpoint = endpoint
        self._place = f"out:{endpoint.name}"
        self._turns = turns
        self._marks = marks
        self._stopping = stopping

    def write(
        self, verdicts: Sequence[Verdict], forgotten: Sequence[Delivery] = (), left: Sequence[Delivery] = ()
    ) -> None:
        """In one commit; where the database refuses a row, each alone and made fit for it.

        Args:
            verdicts: how each ended.
            forgotten: beside them, what certainly had no effect, and comes again.
            left: what may have had one, and is for whoever tries next.
        """
        self._context.point("endpoint: sent")
        self.told = []
        try:
            self._commit(verdicts, forgotten, left)
        except RowRefused:
            for verdict in verdicts:
                self._commit([verdict.sanitised()], (), ())
            self._commit((), forgotten, left)
        self._context.point("endpoint: recorded")

    def _commit(self, verdicts: Sequence[Verdict], forgotten: Sequence[Delivery], left: Sequence[Delivery]) -> None:
        forgotten = [*forgotten, *(v.attempt.delivery for v in verdicts if v.forget)]
        left = [*left, *(v.attempt.delivery for v in verdicts if v.let_go)]

        def write(t: Transaction) -> None:
            t.inbox.clear([self._inbox_key(delivery) for delivery in forgotten])
            t.inbox.let_go([self._inbox_key(delivery) for delivery in left])
            self._write(t, verdicts)

        commit(self._context.store, write, self._stopping)

    def _write(self, t: Transaction, verdicts: Sequence[Verdict]) -> None:
        """Done, attempts, journey, parked."""
        marked = [v.attempt.delivery for v in verdicts if v.attempt.delivery.redelivered]
        over, verdicts = self._still_true(t, verdicts)
        self.told += [v.attempt.delivery for v in over if wanted(v.attempt.delivery)]
        self._turns.write(t, verdicts, over, self._context.clock())
        t.inbox.done([v.done for v in verdicts if v.done])
        t.inbox.rejected([v.rejected for v in verdicts if v.rejected])
        t.tracking.record([v.hop for v in verdicts])
        t.parked.add([v.parked for v in verdicts if v.parked])
        t.timers.add([v.timer for v in verdicts if v.timer])
        returned = [v.attempt.delivery for v in verdicts if v.ended and RETRY in v.attempt.delivery.properties]
        t.parked.resolved([self._key(delivery) for delivery in returned])
        self._clear_up(t, verdicts)
        self._marks.clear(t, [self._key(delivery) for delivery in marked])

    def _still_true(self, t: Transaction, verdicts: Sequence[Verdict]) -> tuple[Sequence[Verdict], Sequence[Verdict]]:
        """Doubts about what is over, for who was silent for too long, and taken for dead, has told since; the rest."""
        over = t.inbox.over([self._inbox_key(v.attempt.delivery) for v in verdicts if v.doubtful])
        told = [v for v in verdicts if self._inbox_key(v.attempt.delivery) in over]
        return told, [v for v in verdicts if self._inbox_key(v.attempt.delivery) not in over]

    def _clear_up(self, t: Transaction, verdicts: Sequence[Verdict]) -> None:
        """What others took to be in doubt they have settled, so it does not come again: its answer is on its way."""
        known = {self._key(v.attempt.delivery): v for v in verdicts if self._was_open(v)}
        owed = [reply for key in t.parked.cleared_up(list(known)) if (reply := known[key].reply)]
        if owed:
            t.outbox.add([Dispatch(message=r.message, to=r.to, properties=r.properties) for r in owed])

    def _was_open(self, verdict: Verdict) -> bool:
        """Whether others may have taken it for in doubt, while this process was silent."""
        operation = self._endpoint.operations.get(verdict.attempt.operation)
        return verdict.ended and operation is not None and operation.effect == "unkeyed"

    def _key(self, delivery: Delivery) -> suspects.Key:
        return suspects.key_at(delivery, self._place)

    def _inbox_key(self, delivery: Delivery) -> tuple[str, str, str]:
        return (self._endpoint.name, *key_of(delivery))
