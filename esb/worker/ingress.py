"""The way in for requests that wait for an answer: gathers what arrives at the same time into one confirmed publish.

Many threads call :meth:`Ingress.enter`; one thread owns the connections. A caller hears "accepted" only when its
message is in the broker and tracked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Literal

import msgspec

from esb.broker.port import Publisher
from esb.errors import BrokerDown, EsbError, MessageError, StoreDown
from esb.message import content_id, new_id
from esb.ports import Arrival
from esb.store import Transaction
from esb.worker.context import Context
from esb.worker.intake import Admitted, Door, Intake
from esb.worker.thread import Worker, commit

WAIT = 0.5  # seconds to wait for the first arrival of a batch
BATCH = 200  # arrivals published together at the most
PATIENCE = 5.0  # seconds to keep trying a commit while somebody waits for an answer


State = Literal["accepted", "duplicate", "refused"]


class Answer(msgspec.Struct, frozen=True):
    """What to tell the caller. ``error`` is set where the message is refused."""

    state: State
    id: str = ""
    correlation_id: str = ""
    error: MessageError | None = None


class _Waiting(msgspec.Struct, eq=False):
    endpoint: str
    admitted: list[Admitted]
    keyed: bool
    answer: Future[Answer]


class Ingress(Worker):
    """Publishes arrivals for all endpoints that serve."""

    def __init__(self, context: Context, intakes: Mapping[str, Intake]) -> None:
        super().__init__("ingress")
        self._context = context
        self._intakes = intakes
        self._doors = {name: Door(context, intake.endpoint, self._commit) for name, intake in intakes.items()}
        self._queue: SimpleQueue[_Waiting] = SimpleQueue()
        self._publisher: Publisher | None = None

    def enter(self, endpoint: str, arrival: Arrival) -> Future[Answer]:
        """Decode and check at once, on the caller's thread; the future is done when the message is safe.

        It fails with ``BrokerDown`` or ``StoreDown`` when that cannot be said: the caller should try again later,
        with the same id.
        """
        answer: Future[Answer] = Future()
        admitted = self._admit(endpoint, arrival)
        refused = next((a.error for a in admitted if a.error), None)
        if refused:
            answer.set_result(Answer("refused", admitted[0].message.id, error=refused))
        else:
            self._queue.put(_Waiting(endpoint, admitted, arrival.id is not None, answer))
        return answer

    def cycle(self) -> None:
        waiting = self._gather()
        for endpoint in {w.endpoint for w in waiting}:
            self._enter_batch(endpoint, [w for w in waiting if w.endpoint == endpoint])

    def recover(self) -> None:
        if self._publisher:
            self._publisher.close()
            self._publisher = None

    def finish(self) -> None:
        while not self._queue.empty():
            self.cycle()
        self.recover()

    def _admit(self, endpoint: str, arrival: Arrival) -> list[Admitted]:
        id = content_id(endpoint, arrival.id) if arrival.id is not None else new_id()
        return self._intakes[endpoint].admit_bytes(
            arrival.body, arrival.content_type, id=id, time=self._context.clock(), subject=arrival.subject,
            traceparent=arrival.traceparent, headers=dict(arrival.headers),
        )  # fmt: skip

    def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        try:
            batch.append(self._queue.get(timeout=WAIT))
            while len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        except Empty:
            pass
        return batch

    def _enter_batch(self, endpoint: str, waiting: Sequence[_Waiting]) -> None:
        try:
            known = self._known(endpoint, waiting)
            new = [w for w in waiting if w.admitted[0].message.id not in known]
            self._publish(endpoint, new)
        except Exception as error:
            for w in waiting:
                w.answer.set_exception(error if isinstance(error, EsbError) else BrokerDown(f"not accepted: {error}"))
            if not isinstance(error, BrokerDown | StoreDown):
                raise
            self.recover()
            return
        for w in waiting:
            w.answer.set_result(self._answer(w, known))

    def _answer(self, waiting: _Waiting, known: set[str]) -> Answer:
        message, error = waiting.admitted[0].message, waiting.admitted[0].error
        state: State = "duplicate" if message.id in known else "refused" if error else "accepted"
        return Answer(state, message.id, message.correlation_id, error)

    def _known(self, endpoint: str, waiting: Sequence[_Waiting]) -> set[str]:
        """Ids that this endpoint took before: somebody repeats a request whose answer was lost."""
        keyed = [w.admitted[0].message.id for w in waiting if w.keyed]
        if not keyed:
            return set()
        with self._context.store.reading() as t:
            return t.tracking.known(keyed, f"in:{endpoint}")

    def _publish(self, endpoint: str, new: Sequence[_Waiting]) -> None:
        if new:
            self._publisher = self._publisher or self._context.broker.publisher(self.name)
            self._doors[endpoint].enter([a for w in new for a in w.admitted], self._publisher)

    def _commit(self, write: Callable[[Transaction], object]) -> None:
        commit(self._context.store, write, self.stopping, PATIENCE)
