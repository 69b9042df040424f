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

from esb.broker.port import Outcome, Publisher
from esb.errors import BrokerDown, EsbError, MessageError, Paused, QueueFull, without_frames
from esb.message import content_id, new_id, time_in
from esb.ports import Arrival
from esb.store import Transaction
from esb.worker.context import Context
from esb.worker.intake import Admitted, Door, Intake
from esb.worker.thread import Worker, commit, log

WAIT = 0.5  # seconds to wait for the first arrival of a batch
BATCH = 200  # arrivals published together at the most
FULL = 8 * 1024**2  # bytes of bodies with which a batch is full, however few arrivals it has
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

    @property
    def id(self) -> str:
        return self.admitted[0].message.id

    @property
    def size(self) -> int:
        """Bytes in memory, nearly: a message that is small takes a kilobyte too."""
        return sum(len(one.message.body) + 1024 for one in self.admitted)


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

        It fails with a ``BrokerError`` or ``StoreError`` when that cannot be said: the caller should try again later,
        with the same id.
        """
        answer: Future[Answer] = Future()
        admitted = self._admit(endpoint, arrival)
        refused = next((a.error for a in admitted if a.error), None)
        if refused:
            answer.set_result(Answer("refused", admitted[0].message.id, error=refused))
        elif self.stopping.is_set():
            answer.set_exception(BrokerDown("not accepted: this process is stopping"))
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
        id = new_id() if arrival.id is None else content_id(endpoint, arrival.id, when=time_in(arrival.id))
        return self._intakes[endpoint].admit_bytes(
            arrival.body, arrival.content_type, id=id, time=self._context.clock(), subject=arrival.subject,
            traceparent=arrival.traceparent, headers=dict(arrival.headers),
        )  # fmt: skip

    def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        try:
            batch.append(self._queue.get(timeout=WAIT))
            size = batch[0].size
            while len(batch) < BATCH and size < FULL:
                batch.append(self._queue.get_nowait())
                size += batch[-1].size
        except Empty:
            pass
        return batch

    def _enter_batch(self, endpoint: str, waiting: Sequence[_Waiting]) -> None:
        """Answer all of them, whatever happens: somebody waits for each, and one failure must not silence the next."""
        for one, answer in zip(waiting, self._tried(endpoint, waiting), strict=True):
            if not one.answer.set_running_or_notify_cancel():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    def _tried(self, endpoint: str, waiting: Sequence[_Waiting]) -> list[Answer | Exception]:
        """What became of each.

        Where the broker cannot take one of them (its headers are too long), that one is refused; the others enter.
        """
        try:
            return self._answers(endpoint, waiting)
        except Exception as error:
            self.recover()
            if isinstance(error, MessageError) and len(waiting) > 1:
                return [answer for one in waiting for answer in self._tried(endpoint, [one])]
            log.warning("arrivals are not accepted", endpoint=endpoint, error=str(error), exc_info=_trace(error))
            return [self._refused(one, error) for one in waiting]

    def _refused(self, waiting: _Waiting, error: Exception) -> Answer | Exception:
        failure = _failure(error)
        return Answer("refused", waiting.id, error=failure) if isinstance(failure, MessageError) else failure

    def _answers(self, endpoint: str, waiting: Sequence[_Waiting]) -> list[Answer | Exception]:
        """Enter what is new, once where the same comes twice in one batch; an answer for each, in order."""
        if endpoint in self._context.board.now().paused:
            return [Paused(f"not accepted: endpoint {endpoint} is paused; try again later, with the same id")] * len(
                waiting
            )
        full = self._context.pressure(endpoint)
        if full:
            return [QueueFull(f"not accepted: {full}; try again later, with the same id")] * len(waiting)
        known = self._known(endpoint, waiting)
        firsts: dict[str, _Waiting] = {}
        for w in waiting:
            if w.id not in known:
                firsts.setdefault(w.id, w)
        missed = self._publish(endpoint, list(firsts.values()))
        return [self._answer(w, missed, repeated=firsts.get(w.id) is not w) for w in waiting]

    def _answer(self, waiting: _Waiting, missed: set[str], repeated: bool) -> Answer | Exception:
        if waiting.id in missed:
            return QueueFull("not accepted: a flow's queue is full or missing; try again later, with the same id")
        return Answer("duplicate" if repeated else "accepted", waiting.id, waiting.admitted[0].message.correlation_id)

    def _known(self, endpoint: str, waiting: Sequence[_Waiting]) -> set[str]:
        """Ids that this endpoint took before: somebody repeats a request whose answer was lost."""
        keyed = [w.id for w in waiting if w.keyed]
        if not keyed:
            return set()
        with self._context.store.reading() as t:
            return t.tracking.known(keyed, f"in:{endpoint}")

    def _publish(self, endpoint: str, new: Sequence[_Waiting]) -> set[str]:
        """Publish, then track what every flow has; the ids of what some flow has not, of which nothing is stored."""
        if not new:
            return set()
        self._publisher = self._publisher or self._context.broker.publisher(self.name)
        door = self._doors[endpoint]
        batch = [admitted for w in new for admitted in w.admitted]
        fates = iter(door.fates(batch, self._publisher.publish(door.outgoing(batch))))
        missed = {w.id for w in new if {next(fates) for _ in w.admitted} != {Outcome.CONFIRMED}}
        entered = [admitted for w in new if w.id not in missed for admitted in w.admitted]
        if entered:
            door.record(entered, [Outcome.CONFIRMED] * len(entered))
        return missed

    def _commit(self, write: Callable[[Transaction], object]) -> None:
        commit(self._context.store, write, self.stopping, PATIENCE)


def _failure(error: Exception) -> Exception:
    """What a caller is told; the trace stays here."""
    return without_frames(error) if isinstance(error, EsbError) else BrokerDown(f"not accepted: {type(error).__name__}")


def _trace(error: Exception) -> Exception | None:
    """For the log: only what nobody foresaw is worth its trace."""
    return None if isinstance(error, EsbError) else error
