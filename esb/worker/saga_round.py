"""What a batch of messages makes of its sagas, written down in one transaction: inbox, state, outbox, journey."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from esb.broker.port import Delivery
from esb.errors import MessageError
from esb.flow import StepTrace
from esb.message import Message
from esb.saga import Command, Entry, Event, Input, Move, Saga, SetTimer, Undone, advance, start
from esb.saga.state import Leg
from esb.store import RETRY, Dispatch, Hop, InboxEntry, Parked, SagaRow, Timer, Transaction
from esb.store import Status as HopStatus
from esb.worker import saga_messages
from esb.worker.context import Context
from esb.worker.rows import Journal, fit, kind_of, packed, text_of, uncounted
from esb.worker.suspects import Key, key_at
from esb.worker.thread import log

HOLD = 2.0  # seconds that the committer has for publishing before the sweeper does it
_unpack = msgspec.msgpack.Decoder(Saga).decode


class Conflict(MessageError):  # noqa: N818 - says what is the matter
    """Another saga of the same name and key has not ended."""

    kind = "conflict"


class Taken(msgspec.Struct, frozen=True):
    """A message, and what it says: ``input`` to saga ``id``, or that one shall start with ``key``."""

    delivery: Delivery
    name: str
    id: str = ""
    input: Input | None = None
    key: str = ""
    error: Exception | None = None

    @property
    def place(self) -> str:
        return f"saga:{self.name}"

    @property
    def message(self) -> Message:
        """As it came; what starts a saga goes by the saga's key where it has none of its own."""
        message = self.delivery.message
        return replace(message, subject=self.key) if self.key and message.subject is None else message


def saga_of(row: SagaRow) -> Saga:
    """A row of the store as a saga."""
    return _unpack(row.data)


def row_of(saga: Saga) -> SagaRow:
    """The reverse."""
    return SagaRow(
        id=saga.id,
        name=saga.name,
        key=saga.key,
        status=saga.status,
        step=saga.step,
        definition=saga.definition,
        trigger_id=saga.trigger.id,
        correlation_id=saga.trigger.correlation_id,
        reason=saga.reason,
        version=saga.version,
        deadline=saga.deadline,
        started_at=saga.started_at,
        updated_at=saga.updated_at,
        ended_at=saga.ended_at,
        data=packed(saga),
    )


class Round:
    """One transaction's worth of work. Made anew for each try of a commit."""

    def __init__(self, context: Context, journal: Journal, t: Transaction) -> None:
        self._context = context
        self._journal = journal
        self._t = t
        self._now = context.clock()
        self._sagas: dict[str, Saga] = {}
        self._changed: dict[str, Saga] = {}
        self._dispatches: list[Dispatch] = []
        self._timers: list[Timer] = []
        self._over: list[str] = []  # timers
        self._undone: list[Key] = []
        self._started: list[InboxEntry] = []
        self._hops: list[Hop] = []
        self._parked: list[Parked] = []
        self._resolved: list[Key] = []

    # --- messages -------------------------------------------------------------------------------------------------

    def take(self, batch: Sequence[Taken]) -> None:
        """Take messages through their sagas, in their order."""
        self._sagas = {id: saga_of(row) for id, row in self._t.sagas.lock({each.id for each in batch}).items()}
        seen = self._seen(batch)
        for each in batch:
            try:
                self._one(each, seen)
            except MessageError as error:
                self._park(each, error)
            else:
                if RETRY in each.delivery.properties:
                    self._resolved.append(key_at(each.delivery, each.place))

    def _seen(self, batch: Sequence[Taken]) -> set[str]:
        """Sagas that were started before, also those that retention has removed since."""
        found: set[str] = set()
        for place in {each.place for each in batch if each.key}:
            keys = [("start", each.id) for each in batch if each.key and each.place == place]
            found |= {id for _, id in self._t.inbox.seen(place, keys)}
        return found

    def _one(self, each: Taken, seen: set[str]) -> None:
        if each.error is not None:
            raise each.error
        known = self._sagas.get(each.id)
        if each.input is None:
            if known is None and each.id not in seen:
                self._start(each)
        elif known is None:
            log.warning("answer or timer of a saga that is gone", saga=each.id, name=each.name)
        else:
            definition = self._context.versions.saga(self._t, known.definition, known.name)
            self.apply(known, advance(definition, known, each.input, self._now), each.message)

    def _start(self, each: Taken) -> None:
        move = start(self._context.versions.sagas[each.name], each.message, each.key, self._now)
        if not self._t.sagas.start(row_of(self._shown(move.saga))):
            if self._t.sagas.get(each.id) is not None:
                return  # a copy, whose original another process started at this very moment
            raise Conflict(
                f"a saga {each.name} with the key {each.key!r} has not ended yet: retry this when it has, or discard it"
            )
        entry = InboxEntry(
            endpoint=each.place, operation="start", message_id=each.id, owner=self._context.owner, at=self._now
        )
        self._started.append(entry)
        self.apply(None, move, each.message)

    # --- moves ----------------------------------------------------------------------------------------------------

    def apply(self, before: Saga | None, move: Move, message: Message) -> None:
        """A saga moves on, because of a message. ``before`` None: it has just begun."""
        if not move.changed:
            return
        saga = self._shown(move.saga)
        self._sagas[saga.id] = self._changed[saga.id] = saga
        self._over += saga_messages.stale_timers(before, saga)
        for effect in move.effects:
            if isinstance(effect, Command):
                self._dispatches.append(saga_messages.command(saga, effect))
            elif isinstance(effect, Event):
                self._dispatches.append(saga_messages.event(effect))
            elif isinstance(effect, SetTimer):
                self._timers.append(saga_messages.timer(saga, effect))
            else:
                assert isinstance(effect, Undone)
                self._undone.append((effect.message_id, f"out:{effect.endpoint}"))
        self._hops.append(self._hop(saga, move, message))

    def _hop(self, saga: Saga, move: Move, message: Message) -> Hop:
        commands = [effect for effect in move.effects if isinstance(effect, Command) and not effect.again]
        return self._journal.hop(
            message,
            f"saga:{saga.name}",
            HopStatus.COMPLETED,
            received_at=self._now,
            ended_at=self._now,
            attempts=1,
            sent=len(commands),
            published=sum(isinstance(effect, Event) for effect in move.effects),
            steps=packed([StepTrace(t.step, t.kind, t.outcome, t.children) for t in move.traces]),
            detail=saga.status,
        )

    def _shown(self, saga: Saga) -> Saga:
        """The same, with nothing in what people read of it that its messages mask, or the answers that it keeps."""
        shown = self._journal.texts(self._whole(saga))

        def text(value: str) -> str:
            return shown(value) if value else value

        def leg(value: Leg) -> Leg:
            return replace(value, error=text(value.error)) if value.error else value

        new = self._now
        history = tuple(e if e.at < new else Entry(e.at, e.step, e.what, text(e.detail)) for e in saga.history)
        steps = tuple(replace(state, action=leg(state.action), undo=leg(state.undo)) for state in saga.steps)
        return replace(saga, reason=text(saga.reason), history=history, steps=steps)

    def _whole(self, saga: Saga) -> Message:
        """What started it, with the answers in it: texts may quote either."""
        if not any(state.answer for state in saga.steps):
            return saga.trigger
        answers = self._context.versions.saga(self._t, saga.definition, saga.name).answers
        return replace(saga.trigger, body=msgspec.json.encode(saga.document(answers)))

    # --- writing --------------------------------------------------------------------------------------------------

    def _park(self, each: Taken, error: Exception) -> None:
        delivery, now = each.delivery, self._now
        self._hops.append(
            self._journal.hop(
                delivery.message, each.place, HopStatus.PARKED, received_at=now, ended_at=now,
                error_kind=kind_of(error), error=text_of(error),
            ).sanitised()
        )  # fmt: skip
        properties = uncounted(delivery.properties)
        self._parked.append(
            self._journal.parked(delivery.message, each.place, delivery.queue, error, now, properties=properties)
        )

    def write(self, hold: bool = True) -> list[Dispatch]:
        """Everything. ``hold``: this process publishes what is returned once it is committed, else the sweeper does."""
        t = self._t
        t.sagas.save([row_of(saga) for saga in self._changed.values()])
        t.inbox.done(self._started)
        t.timers.remove(self._over)
        t.timers.add(self._timers)
        t.tracking.record(self._hops)
        t.tracking.compensated([(fit(id), place) for id, place in self._undone])
        t.parked.add(self._parked)
        t.parked.resolved(self._resolved)
        if hold:
            return t.outbox.hold(self._dispatches, self._context.owner, HOLD)
        t.outbox.add(self._dispatches)
        return []
