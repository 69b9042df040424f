"""The endpoint runtime: the only part of the bus that touches the outside.

One queue, one thread and one pool per endpoint, so that a slow system holds up nobody else. The thread takes, consults
the inbox, hands messages to the pool, and settles whatever has come back in one commit. While the breaker is not
closed it takes nothing: the backlog stays in the broker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from esb.broker.port import Consumer, Delivery, Outcome, endpoint_queue
from esb.config.definition import LoadedEndpoint
from esb.errors import EndpointError, RowRefused
from esb.store import RETRY, Transaction
from esb.worker import suspects
from esb.worker.attempt import Attempt, Sender
from esb.worker.breaker import Breaker
from esb.worker.context import Context
from esb.worker.inbox import Inbox, Key, key_of
from esb.worker.rows import Journal
from esb.worker.thread import Worker, commit
from esb.worker.verdict import Verdict, judge

TAKE = 1.0  # seconds to wait for messages or for something under way to end


class EndpointWorker(Worker):
    """Serves the queue of one endpoint."""

    def __init__(self, context: Context, endpoint: LoadedEndpoint) -> None:
        super().__init__(f"endpoint {endpoint.name}")
        settings = context.definition.config
        self._context = context
        self._endpoint = endpoint
        self._place = f"out:{endpoint.name}"
        self._journal = Journal(settings.journey, context.definition.hash)
        self._breaker = Breaker(endpoint.name, endpoint.recovery.breaker, context.store, context.owner, context.clock)
        self._inbox = Inbox(context.store, endpoint, context.owner, settings.worker.lease, context.clock)
        adapter, format = context.adapters[endpoint.name], context.formats[endpoint.name]
        self._sender = Sender(endpoint, adapter, format, context, self.stopping)
        self._consumer = self._connect()
        self._pool = ThreadPoolExecutor(endpoint.concurrency, thread_name_prefix=self.name)
        self._marks = suspects.Marks(context.store, self.stopping)
        self._finished: SimpleQueue[Attempt] = SimpleQueue()
        self._running: set[Key] = set()
        self._suspects: deque[Delivery] = deque()
        self._paused = False

    # --- one round ----------------------------------------------------------------------------------------------

    def cycle(self) -> None:
        self._settle(self._collect())
        allowed = self._allowance()
        if allowed and self._suspects and not self._running:
            self._start_alone(self._suspects.popleft())
        room = 0 if self._suspects else max(allowed - len(self._running), 0)
        fresh, redelivered = suspects.divide(self._consumer.take(room, TAKE))
        self._suspects.extend(redelivered)
        if fresh:
            self._start(fresh)

    def interrupt(self) -> None:
        self._consumer.wake()

    def recover(self) -> None:
        """Broker or store failed: what is under way ends and, if it went well, is recorded unsettled.

        Everything comes back as redelivered, and the inbox knows what was done.
        """
        try:
            self._record_what_went_well()
        finally:
            self._suspects.clear()
            self._consumer.close()
            self._consumer = self._connect()
            self._paused = False

    def _record_what_went_well(self) -> None:
        went_well = [attempt for attempt in self._wait(self._endpoint.timeout) if attempt.sent and not attempt.error]
        if went_well:
            self._record([self._judge(attempt) for attempt in went_well])

    def finish(self) -> None:
        """Drain: what is under way ends and is settled, what was only prefetched goes back."""
        self._consumer.pause()
        self._settle(self._wait(self._context.definition.config.worker.drain))
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._consumer.close()

    def _connect(self) -> Consumer:
        queues, prefetch = [endpoint_queue(self._endpoint.name)], 2 * self._endpoint.concurrency
        return self._context.broker.consumer(queues, prefetch, self.name)

    # --- the breaker --------------------------------------------------------------------------------------------

    def _allowance(self) -> int:
        """How many may be under way: all that is configured, one on probation, or none."""
        closed = self._breaker.state() == "closed"
        if closed or self._breaker.mine():
            self._resume()
            return self._endpoint.concurrency if closed else 1
        self._pause()
        if not self._running and self._breaker.wins_probe():
            self._probe()
        return 0

    def _probe(self) -> None:
        """Ask for a sign of life first; only then risk a message, whose failure costs it nothing."""
        try:
            self._context.adapters[self._endpoint.name].check()
        except EndpointError:
            self._breaker.failed()

    def _pause(self) -> None:
        if not self._paused:
            self._consumer.release(list(self._suspects))
            self._suspects.clear()
            self._consumer.pause()
            self._paused = True

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume()
            self._paused = False

    # --- taking -------------------------------------------------------------------------------------------------

    def _start_alone(self, delivery: Delivery) -> None:
        key = (delivery.message.id, self._place)
        if self._marks.deadly(key):
            suspects.park(self._context, self._consumer, self._journal, delivery, self._place, self.stopping)
        else:
            self._start([delivery])

    def _start(self, deliveries: Sequence[Delivery]) -> None:
        entry = self._inbox.admit(deliveries, self._running, self.stopping)
        self._context.point("endpoint: started")
        for delivery in entry.send:
            self._running.add(key_of(delivery))
            self._pool.submit(self._attempt, delivery)
        if entry.repeats:
            self._drop(entry.repeats)
        self._settle(entry.attempts)

    def _attempt(self, delivery: Delivery) -> None:
        """On a pool thread."""
        self._finished.put(self._sender.attempt(delivery, self._breaker.peek))
        self._consumer.wake()

    def _drop(self, repeats: Sequence[Delivery]) -> None:
        marked = [(d.message.id, self._place) for d in repeats if d.redelivered]
        if marked:
            commit(self._context.store, lambda t: self._marks.clear(t, marked), self.stopping)
        self._consumer.settle(repeats)

    # --- settling -----------------------------------------------------------------------------------------------

    def _collect(self) -> list[Attempt]:
        attempts: list[Attempt] = []
        while True:
            try:
                attempts.append(self._finished.get_nowait())
            except Empty:
                self._running.difference_update(key_of(attempt.delivery) for attempt in attempts)
                return attempts

    def _wait(self, limit: float) -> list[Attempt]:
        """Everything under way, when it has ended; at most ``limit`` seconds."""
        deadline = time.monotonic() + limit
        attempts = self._collect()
        while self._running and (left := deadline - time.monotonic()) > 0:
            try:
                attempt = self._finished.get(timeout=left)
            except Empty:
                break
            attempts.append(attempt)
            self._running.discard(key_of(attempt.delivery))
        return attempts

    def _settle(self, attempts: Sequence[Attempt]) -> None:
        if not attempts:
            return
        for attempt in attempts:
            self._tell_breaker(attempt)
        verdicts = [self._judge(attempt) for attempt in attempts]
        later = [verdict for verdict in verdicts if verdict.outgoing]
        batch = [verdict.outgoing for verdict in later if verdict.outgoing]
        missed: list[Delivery] = []
        self._consumer.transfer(batch, lambda outcomes: self._conclude(verdicts, later, outcomes, missed))
        self._context.point("endpoint: settled")
        if missed:
            self._consumer.release(missed)

    def _tell_breaker(self, attempt: Attempt) -> None:
        if attempt.sent and isinstance(attempt.error, EndpointError):
            self._breaker.failed()
        elif attempt.sent:
            self._breaker.succeeded()

    def _judge(self, attempt: Attempt) -> Verdict:
        now, state = self._context.clock(), self._breaker.peek()
        return judge(attempt, self._endpoint, self._journal, state, self._context.owner, now)

    def _conclude(
        self, verdicts: Sequence[Verdict], later: Sequence[Verdict], outcomes: Sequence[Outcome], missed: list[Delivery]
    ) -> list[Delivery]:
        """Write down what may be settled; a retry that no delay queue took goes back instead."""
        pairs = zip(later, outcomes, strict=True)
        missed += [v.attempt.delivery for v, outcome in pairs if outcome is not Outcome.CONFIRMED]
        ready = [v for v in verdicts if v.attempt.delivery not in missed]
        self._record(ready)
        return [verdict.attempt.delivery for verdict in ready]

    def _record(self, verdicts: Sequence[Verdict]) -> None:
        self._context.point("endpoint: sent")
        try:
            self._commit(verdicts)
        except RowRefused:
            for verdict in verdicts:
                self._commit([verdict.sanitised()])
        self._context.point("endpoint: recorded")

    def _commit(self, verdicts: Sequence[Verdict]) -> None:
        commit(self._context.store, lambda t: self._write(t, verdicts), self.stopping)

    def _write(self, t: Transaction, verdicts: Sequence[Verdict]) -> None:
        """The one commit of a batch: done, attempts, journey, parked."""
        t.inbox.done([v.done for v in verdicts if v.done])
        t.inbox.clear([(self._endpoint.name, *key_of(v.attempt.delivery)) for v in verdicts if v.forget])
        t.tracking.record([v.hop for v in verdicts])
        t.parked.add([v.parked for v in verdicts if v.parked])
        t.timers.add([v.timer for v in verdicts if v.timer])
        returned = [v for v in verdicts if v.done and RETRY in v.attempt.delivery.properties]
        t.parked.resolved([(v.hop.message_id, v.hop.place) for v in returned])
        marked = [v.attempt.delivery for v in verdicts if v.attempt.delivery.redelivered]
        self._marks.clear(t, [(d.message.id, self._place) for d in marked])
