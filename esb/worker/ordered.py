"""The worker of flows that keep the order of their messages.

What it takes it runs in rounds, in each at most one message of a key, and ends a round before it begins the next: so a
message's results are at the broker before the next one of its key is looked at. A message that fails, or waits for an
answer, holds up those of its key; see :mod:`esb.worker.lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from esb.broker.port import ORDER, Delivery, Outcome, Outgoing, line_queue
from esb.errors import MessageError
from esb.flow import Result
from esb.flow.switches import Switches
from esb.store import Held, Hop, Stand, Transaction
from esb.worker.context import Context
from esb.worker.flow import TAKE, Begun, FlowWorker, Rows
from esb.worker.hold import FULL, held_hop
from esb.worker.lines import Lines, order_key
from esb.worker.rows import fit
from esb.worker.run import Run
from esb.worker.thread import commit


class OrderedWorker(FlowWorker):
    """Serves the queues of all flows with ``ordering``; each is served by one process at a time."""

    def __init__(self, context: Context, name: str = "ordered flows") -> None:
        super().__init__(context, name, ordered=True)
        self._lines = {
            flow.name: Lines(context, f"flow:{flow.name}", name, self.stopping) for flow in self._flows.values()
        }
        self._standing: set[str] = set()  # ids of those in hand that have a place in a line
        self._keys: dict[str, str] = {}  # of those that go on with an answer, by id

    def cycle(self) -> None:
        self._heed_pauses()
        for lines in self._lines.values():
            lines.let_go()
        left = self._consumer.take(self._pace.batch, TAKE)
        while left and not self.stopping.is_set():
            round, left = self._round(left)
            self._run_round(round)
        self._marks.leave()

    def recover(self) -> None:
        for lines in self._lines.values():
            self._quietly(lines.close)
        super().recover()

    def finish(self) -> None:
        super().finish()
        for lines in self._lines.values():
            self._quietly(lines.close)

    # --- rounds -------------------------------------------------------------------------------------------------

    def _round(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """The first message of each key, and what comes later."""
        seen: set[str] = set()
        round: list[Delivery] = []
        later: list[Delivery] = []
        for delivery in deliveries:
            key = self._key(delivery)
            (later if key in seen else round).append(delivery)
            seen.add(key or delivery.message.id)
        return round, later

    def _key(self, delivery: Delivery) -> str:
        """The key of what begins here, which it keeps from now on; nothing for an answer, and for what has none."""
        flow = self._entered(delivery.queue)
        if flow is not None and not order_key(delivery):
            try:
                key = flow.key(delivery.message)
            except MessageError:
                return ""  # told when it is run
            delivery.properties = {**delivery.properties, ORDER: f"{flow.name}/{key}"}
        return order_key(delivery) if flow is not None else ""

    def _run_round(self, round: Sequence[Delivery]) -> None:
        self._standing.clear()
        self._keys.clear()
        ready = [delivery for name in self._lines for delivery in self._ready(name, round)]
        together, alone = self._marks.divide(ready, self._place)
        if together and self._may_begin():
            self._handle(together)
        for delivery in alone:
            if not self.stopping.is_set():
                self._handle_alone(delivery)

    def _ready(self, name: str, round: Sequence[Delivery]) -> list[Delivery]:
        """Of the messages of one flow those that may run; the others go behind what they have to wait for.

        First what was through for the store and not for the broker when somebody died: its results may be owed still,
        and those behind it may be on their way.
        """
        mine = [delivery for delivery in round if self._at(delivery.queue).name == name]
        lines = self._lines[name]
        free, behind, standing = lines.sort([delivery for delivery in mine if order_key(delivery)])
        owed = lines.through([delivery for delivery in behind if delivery.redelivered])
        behind = [delivery for delivery in behind if delivery not in owed]
        lines.hold(behind)
        self._consumer.settle(behind)
        self._standing |= standing
        others = [delivery for delivery in mine if not order_key(delivery)]
        self._recall(lines, [delivery for delivery in others if delivery.queue in self._resumed])
        return owed + others + free

    def _recall(self, lines: Lines, answers: Sequence[Delivery]) -> None:
        """The keys of the messages that go on: from their lines, or of one that was through for the store already
        when somebody died over its answer, as it left with the call."""
        found = [at for delivery in answers if (at := self._legs.where(delivery)) is not None]
        if found:
            with self._context.store.reading() as t:
                standing = t.held.keys(lines.place, [at.message.id for at in found])
            self._keys |= {at.message.id: at.order for at in found} | standing
            self._standing |= standing.keys()

    # --- what differs from other flows --------------------------------------------------------------------------

    def _results(self, deliveries: Sequence[Delivery], runs: list[Run]) -> Iterator[Outgoing]:
        switches = self._board.now().switches
        for delivery in deliveries:
            run = self._run(delivery, switches)
            runs.append(run)
            key = self._key_of(run)
            yield from (_in_line(outgoing, key) if key else outgoing for outgoing in run.outgoing(self._legs))

    def _run(self, delivery: Delivery, switches: Switches) -> Run:
        run = super()._run(delivery, switches)
        entered = run.at is None and delivery.queue not in self._resumed and not order_key(delivery)
        if entered and run.result.error is None:
            try:
                run.flow.key(delivery.message)
            except MessageError as error:
                run.result = Result(status="failed", error=error, subject=run.result.subject)
        return run

    def _key_of(self, run: Run) -> str:
        return order_key(run.delivery) or self._keys.get(run.message.id, "")

    def _transfer(self, begun: Begun) -> None:
        """What an answer led to is in its queue before the line goes on, at the embedded broker too: the commit is all
        that keeps back the process that serves the flow's queue, which may be another one."""
        if not any(run.at for run in begun.runs):
            return super()._transfer(begun)
        outcomes: list[Outcome] = []

        def settle_none(found: list[Outcome]) -> Sequence[Delivery]:
            outcomes.extend(found)
            return ()

        begun.transfer.conclude(settle_none)
        self._consumer.settle(self._record(begun.runs, outcomes))

    def _write(self, t: Transaction, runs: Sequence[Run], rows: Rows) -> None:
        super()._write(t, runs, rows)
        answered = self._answered(t, runs)
        stopped = [r for r in runs if self._stands(r) and fit(r.message.id) not in answered and self._stops(t, r)]
        t.held.stop([self._set_back(run) for run in stopped], self._context.clock())
        through = [run for run in runs if (run.at or run.message.id in self._standing) and run not in stopped]
        t.held.over([(run.message.id, run.place) for run in through])
        for run in through:
            self._lines[run.flow.name].look()

    def _stands(self, run: Run) -> bool:
        """Whether it begins here, or stands in a line."""
        return bool(order_key(run.delivery)) or run.message.id in self._standing

    def _stops(self, t: Transaction, run: Run) -> bool:
        """Whether those behind it have to wait: it is set aside, or waits itself."""
        return run.result.status == "waiting" or (run.error is not None and not self._is_over(t, run))

    def _answered(self, t: Transaction, runs: Sequence[Run]) -> set[str]:
        """Those whose question was out before it was written down, and which another process brought to their end.

        Behind the rows of the journey, which one of the two writes first; the other one waits for its commit and sees
        it: what is said here, or by ``through`` there.
        """
        asking: dict[str, list[str]] = {}
        for run in runs:
            if run.result.status == "waiting":
                asking.setdefault(run.place, []).append(fit(run.message.id))
        return {id for place, ids in asking.items() for id in t.tracking.ended(ids, place)}

    def _set_back(self, run: Run) -> Held:
        row = self._lines[run.flow.name].row(run.delivery, self._key_of(run), Stand.OUT)
        return msgspec.structs.replace(row, message=msgspec.structs.replace(run.message, body=b""))

    def _pass_by(self, t: Transaction, delivery: Delivery) -> None:
        super()._pass_by(t, delivery)
        if key := order_key(delivery):
            row = self._lines[self._at(delivery.queue).name].row(delivery, key, Stand.OUT)
            t.held.stop([row], self._context.clock())

    def _hold_back(self, runs: Sequence[Run]) -> None:
        """What met a full queue is tried again from its line: a delay queue would let others pass."""
        entered = [run for run in runs if order_key(run.delivery)]
        others = [run for run in runs if not order_key(run.delivery)]
        if others:
            super()._hold_back(others)
        now = self._context.clock()
        rows = [
            held_hop(self._journal, r.message, r.place, now, received_at=r.started, sent=r.sent, published=r.published)
            for r in entered
        ]  # before the store is taken
        commit(self._context.store, lambda t: self._stop_for_now(t, entered, rows, now), self.stopping)
        self._consumer.settle([run.delivery for run in entered])

    def _stop_for_now(self, t: Transaction, runs: Sequence[Run], rows: Sequence[Hop], now: float) -> None:
        due = now + FULL
        t.held.stop(
            [self._lines[r.flow.name].row(r.delivery, order_key(r.delivery), Stand.DUE, due) for r in runs], now
        )
        t.tracking.record(rows)
        self._marks.clear(t, [run.key for run in runs if run.delivery.redelivered])


def _in_line(outgoing: Outgoing, key: str) -> Outgoing:
    """A command goes to the queue of its key; an event to whoever wants it, as ever."""
    if outgoing.event:
        return outgoing
    properties = {**outgoing.properties, ORDER: key}
    return msgspec.structs.replace(outgoing, to=line_queue(outgoing.to, key), properties=properties)
