"""The relay of the transactional outbox: publishes what was committed with state, and forgets it once it is confirmed.

A crash between publish and delete repeats a publish with the same message id, which the inboxes recognise.
"""

from __future__ import annotations

from collections.abc import Sequence

from esb.broker.port import Outcome, Outgoing, Publisher
from esb.store import Dispatch, Hop, Status
from esb.worker.home import Home
from esb.worker.thread import log


class Relay:
    """Publishes rows of the outbox. Belongs to the thread that made it."""

    def __init__(self, context: Home, name: str) -> None:
        self._context = context
        self._name = name
        self._journal = context.journal()
        self._publisher: Publisher | None = None

    def publish(self, rows: Sequence[Dispatch]) -> tuple[list[Dispatch], list[Hop]]:
        """Those that are dealt with, and what the journey says of events that nobody wanted.

        A command that no queue takes stays, to be tried again.
        """
        if not rows:
            return [], []
        self._publisher = self._publisher or self._context.broker.publisher(self._name)
        outcomes = self._publisher.publish([outgoing(row) for row in rows])
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

    def _unsubscribed(self, row: Dispatch) -> Hop:
        message, now = row.message, self._context.clock()
        place = f"event:{message.contract}"
        return self._journal.hop(message, place, Status.UNSUBSCRIBED, received_at=now, ended_at=now).sanitised()


def outgoing(row: Dispatch) -> Outgoing:
    """A row as it is published."""
    return Outgoing(row.message, row.to, event=row.event, properties=row.properties)
