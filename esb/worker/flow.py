"""The flow worker: takes a batch, runs the pure engine over it, publishes, tracks, settles.

The order is what makes it safe, for each batch by itself. Results are confirmed by the broker, then tracked in one
commit, then the inputs are settled. A crash at any point leads to a redelivery, and since ids of descendants are
derived, a repeat produces the same messages, which the endpoints' inboxes recognise.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice

import msgspec

from esb.broker.port import ORDER, Consumer, Delivery, Outcome, Outgoing, Transfer, flow_queue, resume_queue
from esb.errors import RowRefused
from esb.flow import PART, Flow
from esb.flow.switches import Switches
from esb.message import Message
from esb.store import FINAL, RETRY, Hop, Parked, Status, Transaction
from esb.worker import suspects
from esb.worker.context import Context
from esb.worker.controls import carry_out
from esb.worker.groups import Groups
from esb.worker.hold import held_hop, hold_back
from esb.worker.legs import Legs
from esb.worker.lines import dissolve
from esb.worker.pace import Pace
from esb.worker.queues import queue_of
from esb.worker.rows import kind_of, packed, text_of
from esb.worker.run import Run
from esb.worker.thread import Worker, commit

TAKE = 1.0  # seconds to wait for messages
DISSOLVE = 10.0  # seconds between looks for lines of flows that keep no order
UNDER_WAY = 4  # batches whose confirms are awaited while the next is computed: a broker that syncs its disk is slow

_STATUS = {
    "completed": Status.COMPLETED, "filtered": Status.FILTERED, "failed": Status.PARKED, "waiting": Status.WAITING,
}  # fmt: skip


class Rows(msgspec.Struct):
    """What is written down of a batch. Made before the store is taken, since covering large messages takes its time.

    ``failures``: of each run those of its parts, and its own. ``new``: no message came from the broker before, or from
    people, a line or a call, which properties tell, so hardly ever is one of them recorded already.
    """

    hops: list[Hop]
    failures: list[tuple[Run, list[Parked], Parked | None]]
    new: bool


class Begun(msgspec.Struct):
    """A batch whose results are on their way to the broker."""

    transfer: Transfer
    runs: Sequence[Run]


class FlowWorker(Worker):
    """Serves the queues of all flows on one thread: the engine holds the interpreter, so more would not be faster."""

    def __init__(self, context: Context, name: str = "flows", ordered: bool = False) -> None:
        """``ordered``: of those that keep the order of their messages, else of the others."""
        super().__init__(name)
        self._context = context
        flows = [context.flows[n] for n, loaded in context.definition.flows.items() if bool(loaded.ordering) is ordered]
        self._flows = {flow_queue(flow.name, ordered): flow for flow in flows}
        # Where messages lay before somebody said "ordering", or took it away.
        self._left = {flow_queue(flow.name, not ordered): flow for flow in flows}
        self._resumed = {resume_queue(flow.name): flow for flow in flows}
        self._legs = Legs(context, self.stopping)
        self._groups = Groups(context, f"{name}.groups", self.stopping)
        self._settings = context.definition.config.worker
        self._pace = Pace(self._settings.batch)
        self._journal = context.journal()
        self._marks = suspects.Marks(context, self.stopping)
        self._board = context.board
        self._paused: Collection[str] = ()
        self._begun: deque[Begun] = deque()  # in their order
        self._dissolve_at = 0.0
        self._consumer = self._connect()

    def cycle(self) -> None:
        """A batch is computed and published while the broker confirms those before, which are concluded in turn."""
        self._heed_pauses()
        self._dissolve_lines()
        taken = self._consumer.take(self._pace.batch, 0.0 if self._begun else TAKE)
        together, alone = self._marks.divide(taken, self._place)
        if together and self._may_begin():
            self._begun.append(self._begin(together))
        may_wait = UNDER_WAY if together and not alone else 0
        while self._begun and (len(self._begun) > may_wait or self._begun[0].transfer.answered):
            self._conclude(self._begun.popleft())
        for delivery in alone:
            if not self.stopping.is_set():
                self._handle_alone(delivery)
        if not self._begun:
            self._marks.leave()

    def interrupt(self) -> None:
        self._consumer.wake()

    def recover(self) -> None:
        """What was taken and not settled goes back, by letting the consumer go."""
        self._begun.clear()
        for act in (self._groups.let_go, self._consumer.close, self._marks.forgive):
            self._quietly(act)
        self._consumer = self._connect()

    def _connect(self) -> Consumer:
        """Also where answers arrive: of flows that call, and of those that did when the queue was made."""
        found = self._context.broker.depths((*self._left, *self._resumed))
        queues = (*self._flows, *(queue for queue in (*self._left, *self._resumed) if queue in found))
        self._paused = self._board.now().switches.paused
        serving = [queue for queue in queues if self._at(queue).name not in self._paused]
        return self._context.broker.consumer(serving, self._settings.prefetch, self.name)

    def _heed_pauses(self) -> None:
        """When a person pauses or resumes a flow, what was fetched goes back, and other queues are served."""
        if self._board.now().switches.paused == self._paused:
            return
        self._conclude_all()
        self.recover()

    def _dissolve_lines(self) -> None:
        """Of flows that kept an order once: whoever else serves one still may put more into them for a while."""
        if time.monotonic() < self._dissolve_at:
            return
        with self._context.store.reading() as t:
            places = set(t.held.places())
        for flow in self._flows.values():
            if f"flow:{flow.name}" in places:
                dissolve(self._context, flow.name, self.stopping)
        self._dissolve_at = time.monotonic() + DISSOLVE

    def _may_begin(self) -> bool:
        """Unless another worker is to be alone: then what was begun ends first. False when this worker is to stop."""
        if self._marks.join():
            return True
        self._conclude_all()
        return self._marks.join_in_turn()

    def _conclude_all(self) -> None:
        while self._begun:
            self._conclude(self._begun.popleft())

    def finish(self) -> None:
        while self._begun:
            self._quietly(partial(self._conclude, self._begun.popleft()))
        for act in (self._groups.let_go, self._consumer.close, self._marks.forgive):
            self._quietly(act)

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        self._conclude(self._begin(deliveries))

    def _begin(self, deliveries: Sequence[Delivery]) -> Begun:
        runs: list[Run] = []
        started = time.monotonic()
        begun = Begun(self._consumer.begin(self._results(deliveries, runs)), runs)
        self._pace.took(len(deliveries), time.monotonic() - started)
        return begun

    def _conclude(self, begun: Begun) -> None:
        runs = begun.runs
        self._transfer(begun)
        self._context.point("flow: settled")
        self._groups.publish()
        held = [run for run in runs if not run.smooth and run.refused]
        if held:
            self._hold_back(held)
        self._marks.settled([run.key for run in runs if run.delivery.redelivered])

    def _transfer(self, begun: Begun) -> None:
        begun.transfer.conclude(lambda outcomes: self._record(begun.runs, outcomes))

    def _handle_alone(self, delivery: Delivery) -> None:
        """A message that was under way at two deaths may be the one that brought them about."""
        morgue = suspects.Morgue(
            self._context, self._consumer, self._journal, self._marks, self.stopping, self._pass_by
        )
        suspects.run_alone(delivery, self._place(delivery), self._handle, self._marks, morgue)

    def _pass_by(self, t: Transaction, delivery: Delivery) -> None:
        """What is set aside holds up no other."""
        at = self._legs.where(delivery)
        if at is not None and at.behind:
            self._groups.pass_by(t, at)

    def _place(self, delivery: Delivery) -> str:
        return f"flow:{self._at(delivery.queue).name}"

    def _at(self, queue: str) -> Flow:
        return self._entered(queue) or self._resumed[queue]

    def _entered(self, queue: str) -> Flow | None:
        """The flow whose messages begin there."""
        return self._flows.get(queue) or self._left.get(queue)

    def _run(self, delivery: Delivery, switches: Switches) -> Run:
        started = self._context.clock()
        flow = self._entered(delivery.queue)
        if flow is None:
            flow = self._resumed[delivery.queue]
            result, at = self._legs.resume(delivery, flow, switches)
            return Run(delivery, flow, result, started, at)
        properties = delivery.properties
        result = flow.run(delivery.message, properties.get(PART, ""), switches, properties.get(ORDER, ""))
        return Run(delivery, flow, result, started)

    def _results(self, deliveries: Sequence[Delivery], runs: list[Run]) -> Iterator[Outgoing]:
        """Runs one message after the other, while the broker works on the results of those before."""
        switches = self._board.now().switches
        for delivery in deliveries:
            run = self._run(delivery, switches)
            runs.append(run)
            yield from run.outgoing(self._legs)

    def _record(self, runs: Sequence[Run], outcomes: Sequence[Outcome]) -> list[Delivery]:
        self._context.point("flow: published")
        known = iter(outcomes)
        for run in runs:
            run.told(list(islice(known, run.size)))
        ready = [run for run in runs if run.smooth or not run.refused]
        self._track(ready)
        self._context.point("flow: tracked")
        return [run.delivery for run in ready]

    def _track(self, runs: Sequence[Run]) -> None:
        """In one commit; a row that the database refuses is split off and tried alone, made fit for it."""
        rows = self._rows(runs)
        try:
            commit(self._context.store, lambda t: self._write(t, runs, rows), self.stopping)
        except RowRefused:
            if len(runs) > 1:
                for run in runs:
                    self._track([run])
            else:
                rows.hops = [row.sanitised() for row in rows.hops]
                commit(self._context.store, lambda t: self._write(t, runs, rows), self.stopping)
        self._groups.committed()

    def _rows(self, runs: Sequence[Run]) -> Rows:
        now = self._context.clock()
        return Rows(
            hops=[row for run in runs for row in self._hops(run, now)],
            failures=[(run, self._parts(run, now), self._failure(run, now)) for run in runs if not run.smooth],
            new=all(run.smooth and not (run.delivery.redelivered or run.delivery.properties) for run in runs),
        )

    def _write(self, t: Transaction, runs: Sequence[Run], rows: Rows) -> None:
        t.tracking.record(rows.hops, new=rows.new)
        failures = [row for run, parts, own in rows.failures for row in (*parts, *self._still_open(t, run, own))]
        if failures:
            t.parked.add(failures)
        done = [run.key for run in runs if RETRY in run.delivery.properties and not run.error]
        if done:
            t.parked.resolved(done)
        self._groups.write(t, runs)
        for run in runs:
            if run.result.controls and not run.error and not run.message.is_test:
                carry_out(t, run.flow.name, run.result.controls)
        suspected = [run.key for run in runs if run.delivery.redelivered]
        if suspected:
            self._marks.clear(t, suspected)

    def _hops(self, run: Run, now: float) -> list[Hop]:
        """Children before parents: whoever sees the parent done finds what became of its events."""
        if run.smooth:
            return [self._hop(run, now)]
        rows = [
            self._journal.hop(event, f"event:{event.contract}", Status.UNSUBSCRIBED, received_at=now, ended_at=now)
            for event in run.unsubscribed()
        ]
        rows += [
            self._journal.hop(
                child.message, run.place, Status.PARKED, received_at=run.started, ended_at=now,
                error_kind=kind_of(child.error), error=text_of(child.error),
            )
            for child in run.result.children
        ]  # fmt: skip
        rows += [
            self._journal.hop(
                call.owner, run.place, Status.WAITING, received_at=run.started, attempts=1, sent=call.continuation.sent,
                published=call.continuation.published, detail=call.step,
            )
            for call in run.parts_waiting()
        ]  # fmt: skip
        if run.answer_was_parked and not run.error:
            rows.append(self._journal.hop(run.delivery.message, run.place, Status.COMPLETED, ended_at=now))
        return [*rows, self._hop(run, now)]

    def _hop(self, run: Run, now: float) -> Hop:
        result, error = run.result, None if run.smooth else run.error
        hop = self._journal.hop(
            run.message,
            run.place,
            Status.PARKED if error else _STATUS[result.status],
            received_at=run.started,
            ended_at=None if result.status == "waiting" else now,
            attempts=1,
            sent=len(result.sends) if run.smooth else run.sent,
            published=len(result.events) if run.smooth else run.published,
            steps=packed(result.steps),
            error_kind=kind_of(error) if error else None,
            error=self._journal.text(text_of(error), self._set_aside(run)[0]) if error else None,
            detail=result.step or None,
        )
        return hop if run.at is None else msgspec.structs.replace(hop, body=None)  # it was stored when it came

    def _parts(self, run: Run, now: float) -> list[Parked]:
        queue, journal = queue_of(self._context.definition.flows[run.flow.name]), self._journal
        return [
            journal.parked(c.message, run.place, queue, c.error, now, step=c.step, properties=dict(c.properties))
            for c in run.result.children
        ]

    def _failure(self, run: Run, now: float) -> Parked | None:
        if not run.error:
            return None
        message, properties = self._set_aside(run)
        queue, step = run.delivery.queue, run.result.step
        return self._journal.parked(message, run.place, queue, run.error, now, step=step, properties=properties)

    def _still_open(self, t: Transaction, run: Run, own: Parked | None) -> list[Parked]:
        return [] if own is None or self._is_over(t, run) else [own]

    def _set_aside(self, run: Run) -> tuple[Message, dict[str, str]]:
        """What is parked: the message where it goes on, or what was delivered."""
        if run.result.again is not None:
            return self._legs.parked(run.result.again)
        return run.message if run.at is None else run.delivery.message, dict(run.delivery.properties)

    def _is_over(self, t: Transaction, run: Run) -> bool:
        """A copy of an old answer, whose message has long gone on to its end."""
        hop = t.tracking.get(run.message.id, run.place) if run.at is not None else None
        return hop is not None and hop.status >= FINAL

    def _hold_back(self, runs: Sequence[Run]) -> None:
        waiting = {id(run.delivery): run for run in runs}
        hold_back(
            self._consumer,
            [run.delivery for run in runs],
            lambda held: self._record_held([waiting[id(delivery)] for delivery in held]),
        )

    def _record_held(self, runs: Sequence[Run]) -> None:
        now = self._context.clock()
        rows = [
            held_hop(self._journal, r.message, r.place, now, received_at=r.started, sent=r.sent, published=r.published)
            for r in runs
        ]

        def write(t: Transaction) -> None:
            t.tracking.record(rows)
            self._marks.clear(t, [run.key for run in runs if run.delivery.redelivered])

        commit(self._context.store, write, self.stopping)
