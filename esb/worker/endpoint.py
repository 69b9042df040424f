"""The endpoint runtime: the only part of the bus that touches the outside.

One thread and one pool per endpoint, so that a slow system holds up nobody else. The thread takes, consults
the inbox, hands messages to the pool, and settles whatever has come back in one commit. While the breaker is not
closed it takes nothing: the backlog stays in the broker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from esb.broker.port import Consumer, Delivery, Outcome, Outgoing
from esb.config.definition import LoadedEndpoint
from esb.errors import BrokerDown, EndpointError, MessageError, Refused
from esb.store import RETRY, Dispatch, Transaction
from esb.worker import suspects
from esb.worker.attempt import Attempt, Sender, operation_of
from esb.worker.breaker import Breaker
from esb.worker.context import Context
from esb.worker.inbox import Entry, Inbox, Key, key_of
from esb.worker.lines import Lines
from esb.worker.queues import queues_left, queues_to
from esb.worker.record import Record
from esb.worker.replies import Replies
from esb.worker.thread import Worker, commit
from esb.worker.turns import Turns
from esb.worker.verdict import Verdict, judge

DRAIN = 0.8  # share of the drain time for what is under way; the rest is for writing it down
_TAKEN = Outcome.CONFIRMED
TAKE = 1.0  # seconds to wait for messages or for something under way to end
IN_HAND = 64  # messages, at least, where some wait for others of their key


class EndpointWorker(Worker):
    """Serves the queues of one endpoint."""

    def __init__(self, context: Context, endpoint: LoadedEndpoint) -> None:
        super().__init__(f"endpoint {endpoint.name}")
        self._context = context
        self._endpoint = endpoint
        self._place = f"out:{endpoint.name}"
        self._journal = context.journal()
        self._breaker = Breaker(endpoint.name, endpoint.recovery.breaker, context)
        lease = context.definition.config.worker.lease
        self._inbox = Inbox(context.store, endpoint, context.owner, lease, context.clock)
        adapter, format = context.adapters[endpoint.name], context.formats[endpoint.name]
        self._replies = Replies(endpoint, format, context.contracts)
        self._sender = Sender(endpoint, adapter, format, context, self.stopping)
        self._lines = Lines(context, self._place, self.name, self.stopping)
        self._turns = Turns(self._lines)
        self._batch = max((o.common.batch for o in endpoint.operations.values()), default=1)
        self._consumer = self._connect()
        self._pool = context.pool(endpoint.concurrency, self.name)
        self._marks = suspects.Marks(context, self.stopping)
        self._record = Record(context, endpoint, self._turns, self._marks, self.stopping)
        self._finished: SimpleQueue[list[Attempt]] = SimpleQueue()  # of a call each
        self._calls = 0  # under way
        self._running: set[Key] = set()
        self._adrift: set[Key] = set()  # of these: what went back to the broker while its call went on
        self._unrecorded: list[Attempt] = []  # ended, and not yet in the store
        self._unsettled: list[Attempt] = []  # ended adrift: to be written down, and no more
        self._suspects: deque[Delivery] = deque()
        self._alone = False  # a suspect is under way
        self._paused = False

    # --- one round ----------------------------------------------------------------------------------------------

    def cycle(self) -> None:
        self._make_up()
        if self._unsure:
            self._look_for_lines()
        self._settle(self._collect())
        if not self._running:
            self._marks.leave()
        allowed = self._allowance() if self._marks.join() else 0
        if allowed and self._suspects and not self._running:
            self._start_alone(self._suspects.popleft())
        room = 0 if self._suspects or self._alone else self._room(allowed)
        freed = self._turns.freed() if room else []
        at_once = bool(freed or (allowed and self._suspects and not self._running))
        taken = self._consumer.take(max(room - len(freed), 0), 0.0 if at_once else TAKE)
        together, alone = self._marks.divide([*freed, *self._in_turn(taken)], lambda delivery: self._place)
        self._suspects.extend(alone)
        if together:
            self._start(together)

    def _in_turn(self, taken: Sequence[Delivery]) -> Sequence[Delivery]:
        """Of those that keep their order, the ones that have their turn."""
        if not self._is_lined:
            return taken
        turn = self._turns.admit(taken)
        self._consumer.settle(self._turns.settled())
        self._lines.let_go()
        return turn

    @property
    def _is_lined(self) -> bool:
        return len(self._queues) > 1

    def interrupt(self) -> None:
        self._consumer.wake()

    def recover(self) -> None:
        """Broker or store failed: everything comes back as redelivered, except what the inbox knows was done.

        What is under way ends first; what it came to is written down before anything is taken again. A call that
        goes on for longer (its retries take their time) is adrift: what comes again of it waits until it has ended.
        """
        limit = 0.0 if self.stopping.is_set() else self._endpoint.timeout
        self._unrecorded += self._wait(limit)
        self._adrift = set(self._running)
        self._suspects.clear()
        self._turns.clear()
        self._lines.close()
        self._quietly(self._consumer.close)
        self._consumer = self._connect()
        self._paused = False
        self._marks.forgive()

    def _make_up(self) -> None:
        """Write down what ended while it could not be settled: what was done, and what certainly had no effect."""
        ended = [*self._unrecorded, *self._unsettled]
        if ended:
            done = [self._judge(attempt) for attempt in ended if attempt.went_well]
            harmless = [attempt.delivery for attempt in ended if attempt.harmless]
            doubtful = [a.delivery for a in ended if a.error is not None and not a.harmless]
            self._write_down(done, harmless, doubtful)
            self._unsettled = []

    def finish(self) -> None:
        """Drain: what is under way ends and is settled, what was only prefetched goes back."""
        for act in (self._pause, self._drain, self._make_up, self._consumer.close, self._marks.forgive):
            self._quietly(act)
        self._lines.close()
        self._pool.close()

    def _drain(self) -> None:
        self._make_up()
        self._settle(self._wait(DRAIN * self._context.definition.config.worker.drain))

    def _look_for_lines(self) -> None:
        """While the broker was away nobody could tell whether a flow's ordering had left some; now it can."""
        left = self._queues_left()
        self._unsure = False
        if left != self._queues:
            self.recover()

    def _queues_left(self) -> tuple[str, ...]:
        return queues_left(self._context.broker, self._context.definition, self._endpoint.name)

    def _connect(self) -> Consumer:
        try:
            self._queues, self._unsure = self._queues_left(), False
        except BrokerDown:
            self._queues, self._unsure = queues_to(self._context.definition, self._endpoint.name), True
        prefetch = 2 * self._endpoint.concurrency * self._batch
        if self._is_lined:
            prefetch = max(prefetch, IN_HAND)  # one key with many messages must not keep out all others
        return self._context.broker.consumer(self._queues, prefetch, self.name)

    # --- the breaker --------------------------------------------------------------------------------------------

    def _room(self, allowed: int) -> int:
        """How many messages may be taken: as many as the free calls hold, but on probation one."""
        free = max(allowed - self._calls, 0)
        return free * self._batch if allowed > 1 or self._breaker.peek() == "closed" else free

    def _allowance(self) -> int:
        """How many calls may be under way: all that are configured, one on probation, or none."""
        if self._endpoint.name in self._context.board.now().paused:
            self._pause()
            return 0
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
        """What was fetched goes back. Not where the order is kept: others would get it while its first is under way."""
        if not self._paused and not self._is_lined:
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
        key = suspects.key_at(delivery, self._place)
        if not self._marks.may_run(key):
            self._suspects.appendleft(delivery)
        elif self._marks.deadly(key):
            morgue = suspects.Morgue(
                self._context, self._consumer, self._journal, self._marks, self.stopping, self._turns.stop
            )
            morgue.park(delivery, self._place, suspects.KillsWorker())
            self._follow([delivery])
        else:
            self._start([delivery])
            self._alone = bool(self._running)

    def _start(self, deliveries: Sequence[Delivery]) -> None:
        entry = self._inbox.admit(deliveries, self._running, self.stopping)
        self._context.point("endpoint: started")
        for call in self._divided(entry):
            self._running.update(map(key_of, call))
            self._calls += 1
            self._pool.submit(partial(self._attempt, call, call[0] in entry.ask))
        if entry.repeats:
            self._drop(entry.repeats)
        self._settle(entry.attempts)

    def _divided(self, entry: Entry) -> Iterator[list[Delivery]]:
        """What is sent in one call: messages of one operation, as many as it says; what is asked about, by itself."""
        yield from ([delivery] for delivery in entry.ask)
        waiting: dict[str, list[Delivery]] = {}
        for delivery in entry.send:
            if delivery not in entry.ask:
                waiting.setdefault(operation_of(delivery), []).append(delivery)
        for name, deliveries in waiting.items():
            operation = self._endpoint.operations.get(name)
            size = operation.common.batch if operation else 1
            yield from (deliveries[first : first + size] for first in range(0, len(deliveries), size))

    def _attempt(self, call: list[Delivery], ask: bool) -> None:
        """On a pool thread."""
        if len(call) == 1:
            self._finished.put([self._sender.attempt(call[0], self._breaker.peek, ask)])
        else:
            self._finished.put(self._sender.attempt_all(call, self._breaker.peek))
        self._consumer.wake()

    def _drop(self, repeats: Sequence[Delivery]) -> None:
        """What was done before is not done again; if a person sent it on, it is settled for them, too."""
        marked = [suspects.key_at(d, self._place) for d in repeats if d.redelivered]
        returned = [suspects.key_at(d, self._place) for d in repeats if RETRY in d.properties]

        def write(t: Transaction) -> None:
            self._marks.clear(t, marked)
            t.parked.resolved(returned)
            self._turns.over(t, repeats)

        if marked or returned or self._is_lined:
            commit(self._context.store, write, self.stopping)
        self._consumer.settle(repeats)
        self._marks.settled(marked)
        self._follow(repeats)

    def _follow(self, ended: Sequence[Delivery]) -> None:
        """These are under way no more: what is behind them has its turn, or was put behind them in the store."""
        self._turns.ended(ended)
        self._consumer.settle(self._turns.settled())

    # --- settling -----------------------------------------------------------------------------------------------

    def _collect(self) -> list[Attempt]:
        attempts: list[Attempt] = []
        while True:
            try:
                attempts += self._ended(self._finished.get_nowait())
            except Empty:
                return attempts

    def _wait(self, limit: float) -> list[Attempt]:
        """Everything under way, when it has ended; at most ``limit`` seconds."""
        deadline = time.monotonic() + limit
        attempts = self._collect()
        while self._running and (left := deadline - time.monotonic()) > 0:
            try:
                attempts += self._ended(self._finished.get(timeout=left))
            except Empty:
                break
        return attempts

    def _ended(self, attempts: list[Attempt]) -> list[Attempt]:
        """A call has ended; of what it came to, what can be settled."""
        self._calls -= 1
        keys = {key_of(attempt.delivery) for attempt in attempts}
        self._running -= keys
        self._alone = self._alone and bool(self._running)
        if keys <= self._adrift:
            self._adrift -= keys
            self._unsettled += attempts
            return []
        return attempts

    def _settle(self, attempts: Sequence[Attempt]) -> None:
        if not attempts:
            return
        self._unrecorded = list(attempts)
        for attempt in attempts:
            self._tell_breaker(attempt)
        verdicts = [self._judge(attempt) for attempt in attempts]
        later = [verdict for verdict in verdicts if verdict.outgoing]
        batch = [verdict.outgoing for verdict in later if verdict.outgoing]
        missed: list[Delivery] = []
        self._consumer.transfer(batch, lambda outcomes: self._conclude(verdicts, later, outcomes, missed))
        self._answer([verdict for verdict in verdicts if verdict.reply])
        self._context.point("endpoint: settled")
        if missed:
            self._consumer.release(missed)
        redelivered = [a.delivery for a in attempts if a.delivery.redelivered and a.delivery not in missed]
        self._marks.settled([suspects.key_at(delivery, self._place) for delivery in redelivered])
        self._follow([attempt.delivery for attempt in attempts])

    def _tell_breaker(self, attempt: Attempt) -> None:
        """A no to this message is a sign of life; a message that failed on this side of the endpoint says nothing."""
        if attempt.sent and isinstance(attempt.error, EndpointError):
            self._breaker.failed()
        elif attempt.sent and (attempt.error is None or isinstance(attempt.error, Refused)):
            self._breaker.succeeded()

    def _judge(self, attempt: Attempt) -> Verdict:
        now, state = self._context.clock(), self._breaker.peek()
        verdict = judge(attempt, self._replies, self._journal, state, self._context.owner, now)
        return self._turns.kept_back(verdict, now)

    def _conclude(
        self, verdicts: Sequence[Verdict], later: Sequence[Verdict], outcomes: Sequence[Outcome], missed: list[Delivery]
    ) -> list[Delivery]:
        """Write down what ended; a retry that no delay queue took goes back. What is owed an answer is not settled.

        Nor is what somebody else has told of meanwhile, who may not live to answer: it comes again, and is answered.
        """
        pairs = zip(later, outcomes, strict=True)
        missed += [v.attempt.delivery for v, outcome in pairs if outcome is not Outcome.CONFIRMED]
        ready = [v for v in verdicts if v.attempt.delivery not in missed]
        back = [v for v in later if v.attempt.delivery in missed]
        self._write_down(
            ready, [v.attempt.delivery for v in back if v.forget], [v.attempt.delivery for v in back if v.let_go]
        )
        missed += self._record.told
        return [v.attempt.delivery for v in ready if not v.reply and v.attempt.delivery not in missed]

    def _write_down(self, verdicts: Sequence[Verdict], forgotten: Sequence[Delivery], left: Sequence[Delivery]) -> None:
        self._record.write(verdicts, forgotten, left)
        self._unrecorded = []

    def _answer(self, verdicts: Sequence[Verdict]) -> None:
        """What is written down is answered, all of a batch together, and then settled.

        Where one answer is too large for the broker all go by the outbox, which sends the others and parks that one.
        """
        if not verdicts:
            return
        replies = [verdict.reply for verdict in verdicts if verdict.reply]
        try:
            self._consumer.transfer(replies, lambda outcomes: self._answered(verdicts, replies, outcomes))
        except MessageError:
            self._consumer.settle(self._answered(verdicts, replies, [Outcome.REFUSED] * len(replies)))

    def _answered(
        self, verdicts: Sequence[Verdict], replies: Sequence[Outgoing], outcomes: Sequence[Outcome]
    ) -> list[Delivery]:
        """An answer that met a full or a missing queue is tried again from the outbox: it must hold up nobody here."""
        pairs = zip(replies, outcomes, strict=True)
        stuck = [Dispatch(message=r.message, to=r.to, properties=r.properties) for r, o in pairs if o is not _TAKEN]
        if stuck:
            commit(self._context.store, lambda t: t.outbox.add(stuck), self.stopping)
        self._context.point("endpoint: replied")
        return [verdict.attempt.delivery for verdict in verdicts]
