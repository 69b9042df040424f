"""Taking and settling: leases on rows, and the transfer that publishes and settles in one transaction."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from esb.broker import port
from esb.broker.embedded import tables
from esb.broker.embedded.database import Database
from esb.broker.embedded.owners import Owner
from esb.broker.embedded.routing import Plan, Router, properties
from esb.broker.embedded.watch import Bells, Watch
from esb.broker.port import Delivery, Outcome, Outgoing
from esb.errors import BrokerDown, BrokerError, LeaseLost
from esb.message import unpack

_LONGEST_WAIT = 0.5  # seconds between two looks, should a bell be missed


class EmbeddedTransfer:
    """See :class:`esb.broker.port.Transfer`. Publishes and settles in one transaction, once all is recorded."""

    answered = True

    def __init__(self, plan: Plan, write: Callable[[Plan, Sequence[Delivery]], None]) -> None:
        self._plan = plan
        self._write = write

    def conclude(self, commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See the port. Raises ``LeaseLost`` when one of the settled is no longer ours; then nothing was published."""
        self._write(self._plan, commit(self._plan.outcomes))


class EmbeddedConsumer:
    """See :class:`esb.broker.port.Consumer`. What it took it holds by a lease; nothing is prefetched beyond that.

    One thread takes; beyond what the port asks for, others may settle and release meanwhile.
    """

    def __init__(
        self, database: Database, owner: Owner, queues: Mapping[int, str], prefetch: int, bells: Bells, watch: Watch
    ) -> None:
        self._database = database
        self._owner = owner
        self._queues = dict(queues)
        self._turn = list(queues)
        self._prefetch = prefetch
        self._bells = bells
        self._watch = watch
        self._router = Router()
        self._most_octets = port.MOST_OCTETS
        self._held: dict[int, int] = {}  # bytes of each
        with database.reading("look which queues have one consumer at a time") as sql:
            self._single = tables.singles(sql) & set(queues)
        self._signal = threading.Event()
        self._woken = self._paused = self._closed = False
        watch.join(owner, self._queues, self._signal)

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Up to ``limit`` messages; empty after ``timeout`` seconds or ``wake``. ``limit`` 0 only waits.

        A ``wake`` that comes before the wait ends the next one.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._signal.clear()  # before the look: what comes after it rings again
            deliveries, due = self._look(limit)
            left = deadline - time.monotonic()
            if deliveries or self._woken or left <= 0:
                self._woken = False
                return deliveries
            self._signal.wait(max(0.0, min(left, due, _LONGEST_WAIT)))

    def begin(self, batch: Iterable[Outgoing]) -> EmbeddedTransfer:
        """Decide the outcomes; everything is written when the transfer is concluded."""
        self._check_open()
        outgoing = list(batch)  # whatever it takes to compute them, no read transaction is open meanwhile
        with self._database.reading("route a batch") as sql:
            return EmbeddedTransfer(self._router.plan(sql, outgoing), self._conclude)

    def transfer(self, batch: Iterable[Outgoing], commit: Callable[[list[Outcome]], Sequence[Delivery]]) -> None:
        """See the port."""
        self.begin(batch).conclude(commit)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with. Raises ``LeaseLost`` if some were no longer ours; the others are settled."""
        self._finish(deliveries, tables.settle, "settle")

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Put these back, at their place, unblamed. Raises ``LeaseLost`` if some were no longer ours."""
        self._finish(deliveries, tables.release, "release")
        self._bells.ring(self._queues)

    def pause(self) -> None:
        """Stop taking. Nothing is prefetched, so there is nothing to put back."""
        self._paused = True

    def resume(self) -> None:
        """Take again."""
        self._paused = False

    def wake(self) -> None:
        """Make a waiting ``take`` return at once. Safe from any thread."""
        self._woken = True
        self._signal.set()

    def close(self) -> None:
        """Put back everything unsettled; it comes again as redelivered. Never fails for a broker that is down."""
        if self._closed:
            return
        self._closed = True
        self._signal.set()
        self._watch.leave(self._owner, self._queues, self._signal)
        try:
            with self._database.transaction("close a consumer") as sql:
                queues = self._owner.retire(sql)
            self._bells.ring(queues)
        except BrokerDown as error:
            # Without its lock this owner is dead, and whoever looks next puts it back.
            logging.getLogger(__name__).warning("what a consumer held comes back later: %s", error)
        finally:
            self._owner.drop()
            self._database.close()

    def abandon(self) -> None:
        """In a forked child: let go of the owner's file, so that the lock ends with the parent."""
        self._closed = True
        self._owner.drop()

    def _conclude(self, plan: Plan, settled: Sequence[Delivery]) -> None:
        ids = [delivery.token for delivery in settled]
        if not (plan.rows or ids):
            return
        try:
            with self._database.transaction("transfer a batch") as sql:
                tables.insert(sql, plan.rows)
                self._demand(tables.settle(sql, self._owner.id, ids), len(ids), "settled, nor their results published")
        except LeaseLost:
            self._recount()
            raise
        self._let_go(ids)
        self._bells.ring(plan.queues)

    def _look(self, limit: int) -> tuple[list[Delivery], float]:
        self._check_open()
        limit = min(limit, self._prefetch - len(self._held))
        if self._paused or limit <= 0 or self._room() <= 0:
            return [], _LONGEST_WAIT
        with self._database.reading("look for messages") as sql:
            found = {queue: tables.readiness(sql, queue) for queue in self._turn if self._may_take(sql, queue)}
        now = time.time()
        ready = [queue for queue, (full, due) in found.items() if full or (due is not None and due <= now)]
        if ready:
            return self._claim(ready, limit, now), 0.0
        return [], min((due - now for _, due in found.values() if due is not None), default=_LONGEST_WAIT)

    def _may_take(self, sql: sqlite3.Connection, queue: int) -> bool:
        return queue not in self._single or tables.holder(sql, queue) in (None, self._owner.id)

    def _claim(self, ready: list[int], limit: int, now: float) -> list[Delivery]:
        deliveries: list[Delivery] = []
        sizes: dict[int, int] = {}
        room = self._room()
        with self._database.transaction("take messages") as sql:
            for position, queue in enumerate(ready):
                # An equal share for each, what one does not use for those behind it.
                share = -(-(limit - len(deliveries)) // (len(ready) - position))
                taken = self._claim_from(sql, queue, share, room - sum(sizes.values()), now)
                sizes.update([(id, len(message)) for id, _, _, message in taken])
                deliveries += self._deliveries(queue, taken)
        self._held.update(sizes)
        self._turn.append(self._turn.pop(0))
        return deliveries

    def _claim_from(
        self, sql: sqlite3.Connection, queue: int, limit: int, octets: int, now: float
    ) -> list[tables.Taken]:
        if min(limit, octets) <= 0 or (queue in self._single and not tables.hold(sql, queue, self._owner.id)):
            return []
        tables.promote(sql, queue, now)
        return tables.claim(sql, queue, self._owner.id, limit, octets)

    def _deliveries(self, queue: int, taken: Sequence[tables.Taken]) -> list[Delivery]:
        name = self._queues[queue]
        return [
            Delivery(unpack(message), name, id, attempts > 0, properties(packed))
            for id, attempts, packed, message in taken
        ]

    def _room(self) -> int:
        """Bytes that may still be taken, so that large messages do not fill the memory."""
        return self._most_octets - sum(self._held.values())

    def _let_go(self, ids: Iterable[int]) -> None:
        for id in ids:
            self._held.pop(id, None)

    def _finish(
        self, deliveries: Sequence[Delivery], act: Callable[[sqlite3.Connection, int, list[int]], int], verb: str
    ) -> None:
        self._check_open()
        ids = [delivery.token for delivery in deliveries]
        if not ids:
            return
        with self._database.transaction(f"{verb} messages") as sql:
            count = act(sql, self._owner.id, ids)
        self._let_go(ids)
        self._demand(count, len(ids), f"{verb}d")

    def _demand(self, count: int, wanted: int, what: str) -> None:
        if count < wanted:
            raise LeaseLost(
                f"{wanted - count} of {wanted} messages could not be {what}: this process stood still too long and "
                "others took them over; go on taking, they are seen to"
            )

    def _recount(self) -> None:
        with self._database.reading("count what is held") as sql:
            self._held = tables.held(sql, self._owner.id)

    def _check_open(self) -> None:
        if self._closed:
            raise BrokerError("this consumer is closed (or came through a fork): make another")
