"""The relay of the transactional outbox: publishes what was committed with state, and forgets it once it is confirmed.

A crash between publish and delete repeats a publish with the same message id, which the inboxes recognise. What no
broker takes is parked, so that it neither stops those beside it nor comes again for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from esb.broker.port import Outcome, Outgoing, Publisher
from esb.errors import MessageError
from esb.store import Dispatch, Hop, Parked, Status, Transaction
from esb.worker.group_round import Round
from esb.worker.home import Home
from esb.worker.legs import going_on
from esb.worker.queues import place_of
from esb.worker.rows import fit, kind_of, text_of, uncounted
from esb.worker.thread import log


class Relay:
    """Publishes rows of the outbox. Belongs to the thread that made it."""

    def __init__(self, context: Home, name: str) -> None:
        self._context = context
        self._name = name
        self._journal = context.journal()
        self._publisher: Publisher | None = None

    def publish(self, rows: Sequence[Dispatch]) -> tuple[list[Dispatch], list[Hop]]:
        """Those that went out, and what the journey says of events that nobody wanted.

        A command that no queue takes stays, to be tried again. A row that cannot be published at all (it is too large)
        is parked and gone from the outbox when this returns.
        """
        if not rows:
            return [], []
        self._publisher = self._publisher or self._context.broker.publisher(self._name)
        try:
            outcomes = self._publisher.publish([outgoing(row) for row in rows])
        except MessageError as error:
            return self._one_by_one(rows, error)
        pairs = list(zip(rows, outcomes, strict=True))
        unwanted = [row for row, outcome in pairs if row.event and outcome is Outcome.RETURNED]
        done = [row for row, outcome in pairs if outcome is Outcome.CONFIRMED]
        stuck = sorted({row.to for row in rows} - {row.to for row in (*done, *unwanted)})
        if stuck:
            log.warning("nobody takes what is due", queues=stuck)
        return done + unwanted, [self._unsubscribed(row) for row in unwanted]

    def close(self) -> None:
        """Let the connection go; the next publish makes another."""
        if self._publisher:
            self._publisher.close()
            self._publisher = None

    def _one_by_one(self, rows: Sequence[Dispatch], error: MessageError) -> tuple[list[Dispatch], list[Hop]]:
        """One of them stopped all: whoever fails by itself too is set aside, the others go out."""
        if len(rows) == 1:
            self._park(rows[0], error)
            return [], []
        told = [self.publish([row]) for row in rows]
        return [row for sent, _ in told for row in sent], [hop for _, hops in told for hop in hops]

    def _park(self, row: Dispatch, error: MessageError) -> None:
        place, now = place_of(row.to, row.message, event=row.event), self._context.clock()
        hop = self._journal.hop(
            row.message, place, Status.PARKED, operation=row.properties.get("operation"), received_at=now,
            ended_at=now, error_kind=kind_of(error), error=text_of(error),
        ).sanitised()  # fmt: skip
        with self._context.store.transaction() as t:
            t.tracking.record([hop])
            t.parked.add([self._parked(t, row, place, error, now)])
            t.outbox.sent([row.id])
            self._pass_by(t, row, place)
        log.warning("parked what cannot be published", message=hop.message_id, place=place, error=hop.error)

    def _parked(self, t: Transaction, row: Dispatch, place: str, error: MessageError, now: float) -> Parked:
        """What was parked before, and retried, is still where it failed then."""
        before = t.parked.get(fit(row.message.id), place)
        operation = fit(row.properties.get("operation", ""))
        return self._journal.parked(
            row.message, place, row.to, error, now, step=before.step if before else "", operation=operation,
            attempts=before.attempts if before else 0, properties=uncounted(row.properties),
        )  # fmt: skip

    def _pass_by(self, t: Transaction, row: Dispatch, place: str) -> None:
        """What is set aside holds up no other: those that wait for it to be through go on."""
        at = going_on(t, row.properties) if place.startswith("flow:") else None
        if at is not None and at.behind:
            round = Round(self._context, self._journal, t)
            round.take((), [(at.flow, ticket) for ticket in at.behind])
            round.write(hold=False)

    def _unsubscribed(self, row: Dispatch) -> Hop:
        message, now = row.message, self._context.clock()
        place = place_of(row.to, message, event=True)
        return self._journal.hop(message, place, Status.UNSUBSCRIBED, received_at=now, ended_at=now).sanitised()


def outgoing(row: Dispatch) -> Outgoing:
    """A row as it is published."""
    return Outgoing(row.message, row.to, event=row.event, properties=row.properties)
