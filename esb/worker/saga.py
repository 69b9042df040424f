"""The saga worker: takes a batch of triggers, answers and timers, moves their sagas on, and lets commands out.

Everything that a batch changes is one transaction: what was seen, the states under row locks, and in the outbox what is
to be sent. Then the outbox is relayed, and only then are the inputs settled. A crash before the commit has changed
nothing, and the inputs come again; behind it the inputs come again as old news, and the sweeper relays what was not.
"""

from __future__ import annotations

from collections.abc import Sequence

from esb.broker.port import Consumer, Delivery, saga_queue
from esb.errors import BrokerError, MessageError, RoutingError, RowRefused, StoreError
from esb.store import Dispatch, Transaction
from esb.worker import saga_messages, suspects
from esb.worker.context import Context
from esb.worker.relay import Relay
from esb.worker.saga_round import Round, Taken
from esb.worker.thread import Worker, commit

TAKE = 1.0  # seconds to wait for messages


def saga_names(context: Context) -> list[str]:
    """Every saga that may have something to do: those of the configuration, and those that have not ended."""
    with context.store.reading() as t:
        return sorted({*context.definition.sagas, *t.sagas.open_names()})


class SagaWorker(Worker):
    """Serves the queues of all sagas on one thread."""

    def __init__(self, context: Context, names: Sequence[str], name: str = "sagas") -> None:
        """Args: ``names`` of the sagas to serve, see :func:`saga_names`."""
        super().__init__(name)
        self._context = context
        self._names = {saga_queue(saga): saga for saga in names}
        self._settings = context.definition.config.worker
        self._journal = context.journal()
        self._marks = suspects.Marks(context, self.stopping)
        self._relay = Relay(context, name)
        self._consumer = self._connect()

    def cycle(self) -> None:
        together, alone = self._marks.divide(self._consumer.take(self._settings.batch, TAKE), self._place)
        if together and self._marks.join_in_turn():
            self._handle_all(together)
        for delivery in alone:
            if not self.stopping.is_set():
                suspects.run_alone(delivery, self._place(delivery), self._handle, self._marks, self._morgue())
        self._marks.leave()

    def interrupt(self) -> None:
        self._consumer.wake()

    def recover(self) -> None:
        """What was taken and not settled goes back, by letting the consumer go."""
        self._quietly(self._relay.close)
        try:
            self._consumer.close()
        finally:
            self._consumer = self._connect()
        self._marks.forgive()

    def finish(self) -> None:
        for act in (self._relay.close, self._consumer.close, self._marks.forgive):
            self._quietly(act)

    def _connect(self) -> Consumer:
        return self._context.broker.consumer(tuple(self._names), self._settings.prefetch, self.name)

    def _place(self, delivery: Delivery) -> str:
        return f"saga:{self._names[delivery.queue]}"

    def _morgue(self) -> suspects.Morgue:
        return suspects.Morgue(self._context, self._consumer, self._journal, self._marks, self.stopping)

    # --- a batch --------------------------------------------------------------------------------------------------

    def _handle_all(self, deliveries: Sequence[Delivery]) -> None:
        """Together; where one of them breaks the batch, each by itself."""
        try:
            self._handle(deliveries)
        except Exception as error:
            if isinstance(error, BrokerError | StoreError) and not isinstance(error, RowRefused):
                raise
            for delivery in deliveries:
                self._handle_one(delivery)

    def _handle_one(self, delivery: Delivery) -> None:
        try:
            self._handle([delivery])
        except Exception as error:
            if isinstance(error, BrokerError | StoreError) and not isinstance(error, RowRefused):
                raise
            self._morgue().park(delivery, self._place(delivery), error)

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        batch = [self._read(delivery) for delivery in deliveries]
        held: list[Dispatch] = []
        commit(self._context.store, lambda t: self._write(t, batch, held), self.stopping)
        self._context.point("saga: after commit")
        self._publish(held)
        self._context.point("saga: before ack")
        self._consumer.settle(deliveries)
        self._marks.settled([self._key(d) for d in deliveries if d.redelivered])
        self._context.point("saga: settled")

    def _read(self, delivery: Delivery) -> Taken:
        """What a message says; what cannot be understood is parked with its reason."""
        name = self._names[delivery.queue]
        try:
            found = saga_messages.read(delivery)
            if found is not None:
                return Taken(delivery, name, *found)
            definition = self._context.versions.sagas.get(name)
            if definition is None:
                raise RoutingError(f"there is no saga {name!r} in the configuration any more")
            message = delivery.message
            return Taken(delivery, name, definition.id_of(message), key=definition.key(message))
        except MessageError as error:
            return Taken(delivery, name, error=error)

    def _write(self, t: Transaction, batch: Sequence[Taken], held: list[Dispatch]) -> None:
        """The one commit of a batch. It may run again: a commit of unknown outcome is tried again."""
        round = Round(self._context, self._journal, t)
        round.take(batch)
        held[:] = round.write()
        self._marks.clear(t, [self._key(each.delivery) for each in batch if each.delivery.redelivered])
        self._context.point("saga: before commit")

    def _publish(self, held: Sequence[Dispatch]) -> None:
        """At once, though the sweeper would do it a little later."""
        if not held:
            return
        self._context.point("saga: before call")
        sent, unsubscribed = self._relay.publish(held)
        self._context.point("saga: after call")

        def forget(t: Transaction) -> None:
            t.outbox.sent([row.id for row in sent])
            t.tracking.record(unsubscribed)

        commit(self._context.store, forget, self.stopping)

    def _key(self, delivery: Delivery) -> suspects.Key:
        return suspects.key_at(delivery, self._place(delivery))
