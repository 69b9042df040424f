"""Poison that kills the process: messages that were taken before, by somebody who did not live to settle them.

First deliveries pay nothing. A redelivered message is marked in the store, runs alone, and is unmarked in the same
commit as its tracking. Whoever finds the third mark uncleared parks the message: it has taken three processes with it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from esb.broker.port import Consumer, Delivery
from esb.errors import MessageError
from esb.store import Status, Store, Transaction
from esb.worker.context import Context
from esb.worker.rows import Journal
from esb.worker.thread import commit

DEADLY = 3


class KillsWorker(MessageError):  # noqa: N818 - says what the message does
    """Three processes died while this message was the only one under way."""

    kind = "kills the worker"


def divide(deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """First deliveries, and suspects."""
    return [d for d in deliveries if not d.redelivered], [d for d in deliveries if d.redelivered]


class Marks:
    """The marks that one worker makes. What it marked itself and lived to see again is not marked twice."""

    def __init__(self, store: Store, stopping: threading.Event) -> None:
        self._store = store
        self._stopping = stopping
        self._mine: dict[tuple[str, str], int] = {}

    def deadly(self, key: tuple[str, str]) -> bool:
        """Put one more mark on ``(message id, place)`` and commit it. True: it had three already, do not run it.

        A cycle that failed because broker or store went away has killed nobody: its mark still stands, and counts once.
        """
        if key not in self._mine:
            counts: dict[tuple[str, str], int] = {}
            commit(self._store, lambda t: counts.update(t.suspects.mark([key])), self._stopping)
            self._mine[key] = counts[key]
        return self._mine[key] > DEADLY

    def clear(self, t: Transaction, keys: Sequence[tuple[str, str]]) -> None:
        """These got through, or are parked; part of the commit that says so."""
        t.suspects.clear(keys)
        for key in keys:
            self._mine.pop(key, None)


def park(
    context: Context, consumer: Consumer, journal: Journal, delivery: Delivery, place: str, stopping: threading.Event
) -> None:
    """Set a killer aside, unrun."""
    now, message, properties = context.clock(), delivery.message, dict(delivery.properties)
    error = KillsWorker("three processes died while this message was the only one under way; it was not run again")
    operation = properties.get("operation", "")

    def write(t: Transaction) -> None:
        hop = journal.hop(
            message, place, Status.PARKED, received_at=now, ended_at=now, error_kind=error.kind, error=str(error)
        )
        t.tracking.record([hop.sanitised()])
        t.parked.add([
            journal.parked(message, place, delivery.queue, error, now, operation=operation, properties=properties)
        ])  # fmt: skip
        t.suspects.clear([(message.id, place)])

    commit(context.store, write, stopping)
    consumer.settle([delivery])
