"""The idempotent receiver (Hohpe & Woolf) in front of an endpoint's pool.

One query a batch tells what was done before. Only unkeyed operations are written down *before* they are sent: if their
owner dies, what is left is a row that says "started", and nobody can know whether the effect took place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import msgspec

from esb.broker.port import Delivery
from esb.config.definition import LoadedEndpoint
from esb.errors import EndpointError, StoreDown
from esb.store import InboxEntry, Store, Transaction
from esb.worker.attempt import Attempt, operation_of
from esb.worker.replies import asked, stored_failure, stored_reply, wanted
from esb.worker.rows import fit
from esb.worker.thread import commit

Key = tuple[str, str]  # operation, message id


class InDoubtError(EndpointError):
    """An unkeyed send was started by a process that died; whether it took place is not known."""

    kind = "in doubt"
    effect_unknown = True


class Entry(msgspec.Struct):
    """What the inbox made of a batch."""

    send: list[Delivery] = []
    ask: list[Delivery] = []  # those of them that may have taken place: find out first
    repeats: list[Delivery] = []  # done before: settle them
    attempts: list[Attempt] = []  # decided without sending: in doubt, under way already, or to be answered again


class Inbox:
    """One endpoint's inbox as one worker sees it."""

    def __init__(
        self, store: Store, endpoint: LoadedEndpoint, owner: str, lease: float, clock: Callable[[], float]
    ) -> None:  # fmt: skip
        self._store = store
        self._endpoint = endpoint
        self._owner = owner
        self._lease = lease
        self._clock = clock

    def admit(self, deliveries: Sequence[Delivery], running: Collection[Key], stopping: threading.Event) -> Entry:
        """Sort a batch; what is to be sent unkeyed is on record as started when this returns."""
        if self._is_new(deliveries, running):
            return Entry(send=list(deliveries))
        entry = Entry()
        commit(self._store, lambda t: self._sort(t, deliveries, set(running), entry), stopping)
        return entry

    def _is_new(self, deliveries: Sequence[Delivery], running: Collection[Key]) -> bool:
        """Keyed, and not seen before, as nearly all are: there is nothing to write, and a look holds up nobody."""
        keys = {key_of(delivery) for delivery in deliveries}
        if len(keys) < len(deliveries) or not keys.isdisjoint(running) or any(map(self._unkeyed, deliveries)):
            return False
        with suppress(StoreDown), self._store.reading() as t:
            return not t.inbox.seen(self._endpoint.name, list(keys))
        return False  # what writes waits for the database

    def _sort(self, t: Transaction, deliveries: Sequence[Delivery], running: set[Key], entry: Entry) -> None:
        # A commit of unknown outcome is tried again: afresh, but what it may have put on record is ours to send.
        ours, asked = ({key_of(delivery) for delivery in some} for some in (entry.send, entry.ask))
        entry.ask = []
        entry.send, entry.repeats, entry.attempts = [], [], []
        known = t.inbox.seen(self._endpoint.name, [key_of(d) for d in deliveries])
        fresh: list[Delivery] = []
        again: list[Delivery] = []
        for delivery in deliveries:
            key = key_of(delivery)
            row = known.get(key)
            if key in running:
                entry.attempts.append(self._under_way(delivery))
            elif row is None:
                fresh.append(delivery)
            elif row.state == "rejected" and _asks_again(delivery, row):
                again.append(delivery)
            elif row.state != "started" and wanted(delivery):
                entry.attempts.append(self._answered(delivery, row))
            elif row.state == "done":
                entry.repeats.append(delivery)
                continue
            elif key in ours and row.owner == self._owner:
                self._again(delivery, entry, ask=key in asked)
            else:
                self._doubt(t, delivery, row, entry)
            running.add(key)
        if again:
            t.inbox.reopen([(self._endpoint.name, *key_of(d)) for d in again])
        self._start(t, [*fresh, *again], entry)

    def _start(self, t: Transaction, fresh: Sequence[Delivery], entry: Entry) -> None:
        """On record before it is sent; who comes second in a race leaves it to the first."""
        unkeyed = [d for d in fresh if self._unkeyed(d)]
        ours = t.inbox.start([self._row(d) for d in unkeyed]) if unkeyed else set()
        lost = [d for d in unkeyed if (self._endpoint.name, *key_of(d)) not in ours]
        entry.send += [d for d in fresh if d not in lost]
        entry.attempts += [self._under_way(d) for d in lost]

    def _doubt(self, t: Transaction, delivery: Delivery, row: InboxEntry, entry: Entry) -> None:
        """Started, and not done: by somebody who lives, or by somebody who died."""
        if row.owner != self._owner and t.leases.alive(row.owner):
            entry.attempts.append(self._under_way(delivery))
        elif self._in_doubt(delivery) != "park" and t.inbox.take_over(row, self._owner, row.fence + 1):
            self._again(delivery, entry, ask=self._in_doubt(delivery) == "probe")
        else:
            error = InDoubtError("a process died between sending this and hearing the answer: look at the other side")
            entry.attempts.append(Attempt(delivery=delivery, started=self._clock(), error=error))

    def _again(self, delivery: Delivery, entry: Entry, ask: bool) -> None:
        entry.send.append(delivery)
        if ask:
            entry.ask.append(delivery)

    def _answered(self, delivery: Delivery, row: InboxEntry) -> Attempt:
        """It ended before; what came of it is answered once more, for the first answer may not have gone out."""
        if row.state == "done":
            return Attempt(delivery=delivery, started=self._clock(), reply=stored_reply(row.reply))
        return Attempt(delivery=delivery, started=self._clock(), error=stored_failure(row.reply)[0])

    def _under_way(self, delivery: Delivery) -> Attempt:
        """By somebody else, or right here. It is put off, not settled: the delivery under way may be void."""
        return Attempt(delivery=delivery, started=self._clock(), put_off=self._lease)

    def _unkeyed(self, delivery: Delivery) -> bool:
        operation = self._endpoint.operations.get(operation_of(delivery))
        return operation is not None and operation.effect == "unkeyed"

    def _in_doubt(self, delivery: Delivery) -> str:
        operation = self._endpoint.operations.get(operation_of(delivery))
        return operation.in_doubt if operation else "park"

    def _row(self, delivery: Delivery) -> InboxEntry:
        operation, message_id = key_of(delivery)
        return InboxEntry(
            endpoint=self._endpoint.name, operation=operation, message_id=message_id, state="started",
            owner=self._owner, at=self._clock(),
        )  # fmt: skip


def _asks_again(delivery: Delivery, row: InboxEntry) -> bool:
    """What was rejected is asked for once more: by a caller who has heard that, or by somebody who did not ask."""
    return not wanted(delivery) or asked(delivery) > stored_failure(row.reply)[1]


def key_of(delivery: Delivery) -> Key:
    """What the inbox remembers a delivery by, beside the endpoint."""
    return operation_of(delivery), fit(delivery.message.id)
