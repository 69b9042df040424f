"""The inbound queues: raw arrivals that did not come through an adapter (`esb send`, a retry of what was parked)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from esb.broker.port import Consumer, Delivery, Outcome, inbound_queue
from esb.store import RETRY, Transaction
from esb.worker import suspects
from esb.worker.context import Context
from esb.worker.intake import Admitted, Door, Intake
from esb.worker.rows import Journal
from esb.worker.thread import Worker, commit

TAKE = 1.0  # seconds to wait for messages
BATCH = 200


class InboundWorker(Worker):
    """Serves the inbound queues of all endpoints that receive."""

    def __init__(self, context: Context, intakes: Mapping[str, Intake]) -> None:
        super().__init__("inbound")
        self._context = context
        self._journal = Journal(context.definition.config.journey, context.definition.hash)
        self._ways = {
            inbound_queue(name): (
                intake,
                Door(context, intake.endpoint, lambda w: commit(context.store, w, self.stopping)),
            )
            for name, intake in intakes.items()
        }
        self._marks = suspects.Marks(context.store, self.stopping)
        self._consumer = self._connect()

    def cycle(self) -> None:
        fresh, redelivered = suspects.divide(self._consumer.take(BATCH, TAKE))
        for queue in {delivery.queue for delivery in fresh}:
            self._handle([delivery for delivery in fresh if delivery.queue == queue])
        for delivery in redelivered:
            self._handle_alone(delivery)

    def interrupt(self) -> None:
        self._consumer.wake()

    def recover(self) -> None:
        """What was taken and not settled goes back, by letting the consumer go."""
        self._consumer.close()
        self._consumer = self._connect()

    def finish(self) -> None:
        self._consumer.close()

    def _connect(self) -> Consumer:
        return self._context.broker.consumer(tuple(self._ways), 2 * BATCH, self.name)

    def _handle_alone(self, delivery: Delivery) -> None:
        intake, _ = self._ways[delivery.queue]
        place = f"in:{intake.endpoint.name}"
        if not self._marks.deadly((delivery.message.id, place)):
            self._handle([delivery])
        else:
            suspects.park(self._context, self._consumer, self._journal, delivery, place, self.stopping)

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        intake, door = self._ways[deliveries[0].queue]
        batch = [admitted for delivery in deliveries for admitted in self._admit(intake, delivery)]

        def record(outcomes: Sequence[Outcome]) -> Sequence[Delivery]:
            door.record(batch, outcomes, lambda t: self._close(t, intake, deliveries, batch))
            return deliveries

        self._consumer.transfer(door.outgoing(batch), record)

    def _admit(self, intake: Intake, delivery: Delivery) -> list[Admitted]:
        m = delivery.message
        return intake.admit_bytes(
            m.body, m.content_type, id=m.id, time=m.time, correlation_id=m.correlation_id, traceparent=m.traceparent,
            headers=m.headers, subject=m.subject, epoch=m.epoch,
        )  # fmt: skip

    def _close(self, t: Transaction, intake: Intake, deliveries: Sequence[Delivery], batch: Sequence[Admitted]) -> None:
        """What was parked and now went through is no longer parked; what was suspected is cleared."""
        failed = {admitted.message.id for admitted in batch if admitted.error}
        place = f"in:{intake.endpoint.name}"
        back = [d.message.id for d in deliveries if RETRY in d.properties and d.message.id not in failed]
        t.parked.resolved([(id, place) for id in back])
        self._marks.clear(t, [(d.message.id, place) for d in deliveries if d.redelivered])
