"""The inbound queues: raw arrivals that did not come through an adapter (`esb send`, a retry of what was parked)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from esb.broker.port import Consumer, Delivery, Outcome, inbound_queue
from esb.store import RETRY, Transaction
from esb.worker import suspects
from esb.worker.context import Context
from esb.worker.hold import held_hop, hold_back
from esb.worker.intake import DOCUMENT, Admitted, Door, Intake
from esb.worker.thread import Worker, commit

TAKE = 1.0  # seconds to wait for messages
BATCH = 200

Entry = tuple[Delivery, list[Admitted]]  # what came, and the messages in it


class InboundWorker(Worker):
    """Serves the inbound queues of all endpoints that receive."""

    def __init__(self, context: Context, intakes: Mapping[str, Intake]) -> None:
        super().__init__("inbound")
        self._context = context
        self._journal = context.journal()
        self._ways = {
            inbound_queue(name): (
                intake,
                Door(context, intake.endpoint, lambda w: commit(context.store, w, self.stopping)),
            )
            for name, intake in intakes.items()
        }
        self._marks = suspects.Marks(context, self.stopping)
        self._consumer = self._connect()

    def cycle(self) -> None:
        together, alone = self._marks.divide(self._consumer.take(BATCH, TAKE), self._place)
        for queue in {delivery.queue for delivery in together} if self._marks.join_in_turn() else ():
            self._handle([delivery for delivery in together if delivery.queue == queue])
        for delivery in alone:
            if not self.stopping.is_set():
                self._handle_alone(delivery)
        self._marks.leave()

    def interrupt(self) -> None:
        self._consumer.wake()

    def recover(self) -> None:
        """What was taken and not settled goes back, by letting the consumer go."""
        try:
            self._consumer.close()
        finally:
            self._consumer = self._connect()
        self._marks.forgive()

    def finish(self) -> None:
        self._quietly(self._consumer.close)
        self._quietly(self._marks.forgive)

    def _connect(self) -> Consumer:
        return self._context.broker.consumer(tuple(self._ways), 2 * BATCH, self.name)

    def _handle_alone(self, delivery: Delivery) -> None:
        """A message that was under way at two deaths may be the one that brought them about."""
        morgue = suspects.Morgue(self._context, self._consumer, self._journal, self._marks, self.stopping)
        suspects.run_alone(delivery, self._place(delivery), self._handle, self._marks, morgue)

    def _place(self, delivery: Delivery) -> str:
        return f"in:{self._ways[delivery.queue][0].endpoint.name}"

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        """Deliveries of one endpoint: publish what is in them, track, settle; what met a full queue waits."""
        intake, door = self._ways[deliveries[0].queue]
        entries = [(delivery, self._admit(intake, delivery)) for delivery in deliveries]
        held: list[Delivery] = []

        def record(outcomes: Sequence[Outcome]) -> Sequence[Delivery]:
            ready, fates = self._divide(door, entries, outcomes, held)
            batch = [admitted for _, entry in ready for admitted in entry]
            settled = [delivery for delivery, _ in ready]
            door.record(batch, fates, lambda t: self._close(t, settled, batch))
            return settled

        self._consumer.transfer(door.outgoing([admitted for _, entry in entries for admitted in entry]), record)
        if held:
            hold_back(self._consumer, held, self._record_held)
        self._marks.settled(self._suspected(deliveries))

    def _divide(
        self, door: Door, entries: Sequence[Entry], outcomes: Sequence[Outcome], held: list[Delivery]
    ) -> tuple[list[Entry], list[Outcome]]:
        """What can be tracked, with the fate of each of its messages; the rest is added to ``held``."""
        fates = iter(door.fates([admitted for _, entry in entries for admitted in entry], outcomes))
        ready: list[Entry] = []
        known: list[Outcome] = []
        for delivery, entry in entries:
            own = [next(fates) for _ in entry]
            if Outcome.REFUSED in own:
                held.append(delivery)
            else:
                ready.append((delivery, entry))
                known += own
        return ready, known

    def _admit(self, intake: Intake, delivery: Delivery) -> list[Admitted]:
        m = delivery.message
        return intake.admit_bytes(
            m.body, m.content_type, is_document=DOCUMENT in delivery.properties, id=m.id, time=m.time,
            correlation_id=m.correlation_id, traceparent=m.traceparent, headers=m.headers, subject=m.subject,
            epoch=m.epoch,
        )  # fmt: skip

    def _close(self, t: Transaction, deliveries: Sequence[Delivery], batch: Sequence[Admitted]) -> None:
        """What was parked and now went through is no longer parked; what was suspected is cleared."""
        failed = {admitted.message.id for admitted in batch if admitted.error}
        back = [d for d in deliveries if RETRY in d.properties and d.message.id not in failed]
        t.parked.resolved([suspects.key_at(d, self._place(d)) for d in back])
        self._marks.clear(t, self._suspected(deliveries))

    def _record_held(self, deliveries: Sequence[Delivery]) -> None:
        now = self._context.clock()
        rows = [held_hop(self._journal, d.message, self._place(d), now, received_at=now) for d in deliveries]

        def write(t: Transaction) -> None:
            t.tracking.record(rows)
            self._marks.clear(t, self._suspected(deliveries))

        commit(self._context.store, write, self.stopping)

    def _suspected(self, deliveries: Sequence[Delivery]) -> list[suspects.Key]:
        return [suspects.key_at(d, self._place(d)) for d in deliveries if d.redelivered]
