"""Poison that kills the process: messages that were taken before, by somebody who did not live to settle them. What a
source gives (a file) is marked in the same way, under the claim's id.

First deliveries pay nothing. A redelivered message is marked in the store, and unmarked in the same commit as its
tracking. With its first mark it still runs together with others: many are under way at one death, and an orderly stop
leaves the same trace, so it is hardly this one. With its second mark it runs alone in its worker, with its third and
its fourth alone in the whole process. Whoever finds that one uncleared parks it: it has taken four processes with it.
An innocent one would have been under way by chance each time, the last two in the few milliseconds of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from esb.broker.port import Consumer, Delivery
from esb.errors import BrokerError, MessageError, RowRefused, StoreError
from esb.store import Hop, Parked, Status, Transaction
from esb.worker.context import Context
from esb.worker.rows import Journal, fit, kind_of, text_of, uncounted
from esb.worker.thread import commit

SOLITARY = 3  # the first mark that is put on while nothing else runs
DEADLY = 4  # the last
LOOK = 0.5  # seconds between two looks at whether we are to stop

Key = tuple[str, str]  # message id, place


_KILLS = "four processes died while this message ran, the last two while nothing else did; it is not run again"


class KillsWorker(MessageError):  # noqa: N818 - says what the message does
    """Four processes died while this message ran: with others, by itself, and twice while nothing else did."""

    kind = "kills the worker"

    def __init__(self, message: str = _KILLS) -> None:
        super().__init__(message)


class Marks:
    """The marks that one worker makes, and its place among the workers of its process.

    Suspects of different places run side by side in one process, so an innocent one may be marked while another kills.
    That must not happen often: who would get the third mark or the last runs while all other workers rest. So whoever
    runs messages joins the others first, and leaves when nothing is under way.
    """

    def __init__(self, context: Context, stopping: threading.Event) -> None:
        self._store = context.store
        self._stopping = stopping
        self._solitude = context.solitude
        self._mine: dict[Key, int] = {}
        self._careful: frozenset[Key] = frozenset()  # failed together with others: now each runs by itself

    def divide(
        self, deliveries: Sequence[Delivery], place: Callable[[Delivery], str]
    ) -> tuple[list[Delivery], list[Delivery]]:
        """Who may run together, and who runs alone. Puts the first marks, and commits them."""
        keys = [key_at(delivery, place(delivery)) if delivery.redelivered else None for delivery in deliveries]
        first = self._mark_first([key for key in keys if key])
        pairs = list(zip(deliveries, keys, strict=True))
        return [d for d, key in pairs if not key or key in first], [d for d, key in pairs if key and key not in first]

    def join(self) -> bool:
        """Whether messages may be run now; False while another worker wants to be alone."""
        return self._solitude.join(self)

    def join_in_turn(self) -> bool:
        """The same, but wait; False when the worker is to stop."""
        while not self._stopping.is_set():
            if self._solitude.join(self, LOOK):
                return True
        return False

    def leave(self) -> None:
        """Nothing is under way."""
        self._solitude.leave(self)

    def may_run(self, key: Key) -> bool:
        """Wait for the turn of ``(message id, place)``; False when the worker is to stop, and it is not to be run."""
        mark = self._mine.get(key)
        if mark is None:
            with self._store.reading() as t:
                mark = t.suspects.count(key) + 1
        return self._claim() if mark >= SOLITARY else self.join_in_turn()

    def deadly(self, key: Key) -> bool:
        """Put one more mark on ``(message id, place)`` and commit it. True: it had all already, do not run it.

        A cycle that failed because broker or store went away has killed nobody: its mark still stands, and counts once.
        """
        if key not in self._mine:
            counts: dict[Key, int] = {}
            commit(self._store, lambda t: counts.update(t.suspects.mark([key])), self._stopping)
            self._mine[key] = counts[key]
        return self._mine[key] > DEADLY

    def pending(self) -> list[Key]:
        """What this process has marked, and what is not through yet."""
        return list(self._mine)

    def clear(self, t: Transaction, keys: Sequence[Key]) -> None:
        """These got through, or are parked; part of the commit that says so. Then tell :meth:`settled`."""
        t.suspects.clear(keys)

    def settled(self, keys: Sequence[Key]) -> None:
        """The commit with :meth:`clear` stands. Also what did not get through, and comes again, is alone no longer."""
        for key in keys:
            self._mine.pop(key, None)
        self._solitude.release(self)

    def forgive(self) -> None:
        """What is marked and not through has killed nobody, since we live: take the marks back. May raise."""
        self._solitude.release(self)
        self._solitude.leave(self)
        self._careful = frozenset(self._mine)
        if self._mine:
            with self._store.transaction() as t:
                t.suspects.unmark(list(self._mine))
            self._mine.clear()

    def _mark_first(self, keys: Sequence[Key]) -> set[Key]:
        """Those among them that had no mark, which have one now."""
        unknown = [key for key in keys if key not in self._mine and key not in self._careful]
        if not unknown:
            return set()
        with self._store.reading() as t:
            first = set(unknown) - t.suspects.known(unknown)
        if first:
            commit(self._store, lambda t: t.suspects.mark(list(first)), self._stopping)
            self._mine.update(dict.fromkeys(first, 1))
        return first

    def _claim(self) -> bool:
        while not self._stopping.is_set():
            if self._solitude.claim(self, LOOK):
                return True
        self._solitude.release(self)
        return False


def key_at(delivery: Delivery, place: str) -> Key:
    """What a delivery is marked under."""
    return fit(delivery.message.id), place


class Morgue:
    """Sets aside, unrun, what one worker must not run (again)."""

    def __init__(
        self,
        context: Context,
        consumer: Consumer,
        journal: Journal,
        marks: Marks,
        stopping: threading.Event,
        also: Callable[[Transaction, Delivery], None] = lambda t, delivery: None,
    ) -> None:
        """Args as the worker has them; ``consumer`` is the one that took what is to be set aside, ``also`` what else is
        to be written then."""
        self._context = context
        self._consumer = consumer
        self._journal = journal
        self._marks = marks
        self._stopping = stopping
        self._also = also

    def park(self, delivery: Delivery, place: str, error: Exception) -> None:
        """Park it, clear its marks, settle it."""
        key = key_at(delivery, place)
        hop, row = self._rows(delivery, place, error)

        def write(t: Transaction) -> None:
            t.tracking.record([hop])
            t.parked.add([row])
            self._also(t, delivery)
            self._marks.clear(t, [key])

        commit(self._context.store, write, self._stopping)
        self._consumer.settle([delivery])
        self._marks.settled([key])

    def _rows(self, delivery: Delivery, place: str, error: Exception) -> tuple[Hop, Parked]:
        now, message = self._context.clock(), delivery.message
        operation = delivery.properties.get("operation", "")
        hop = self._journal.hop(
            message, place, Status.PARKED, operation=operation or None, received_at=now, ended_at=now,
            error_kind=kind_of(error), error=text_of(error),
        )  # fmt: skip
        row = self._journal.parked(
            message, place, delivery.queue, error, now, operation=fit(operation),
            properties=uncounted(delivery.properties),
        )  # fmt: skip
        return hop.sanitised(), row


def run_alone(
    delivery: Delivery, place: str, handle: Callable[[Sequence[Delivery]], None], marks: Marks, morgue: Morgue
) -> None:
    """Run a suspect by itself: mark it, ``handle`` it, park it where it fails. ``handle`` clears the mark.

    When the worker is to stop it is left as it is, and goes back with what else was taken.

    Raises:
        BrokerError, StoreError: what failed is not the message's doing; it comes again.
    """
    key = key_at(delivery, place)
    if not marks.may_run(key):
        return
    if marks.deadly(key):
        morgue.park(delivery, place, KillsWorker())
        return
    try:
        handle([delivery])
    except Exception as error:  # it ran by itself, so it is this message's, and would come again and again
        if isinstance(error, BrokerError | StoreError) and not isinstance(error, RowRefused):
            raise
        morgue.park(delivery, place, error)
