"""What a person does to a saga: one function, for the command line and the admin interface alike, and audited."""

from __future__ import annotations

from esb.errors import EsbError
from esb.message import child_of, derive_id
from esb.saga import Act, Saga, advance
from esb.saga.state import ActName
from esb.store import Transaction
from esb.worker.context import Context
from esb.worker.saga_round import Round, saga_of


class ActRefused(EsbError):  # noqa: N818 - says what happened
    """The saga is not there, or in no state for this act."""

    kind = "act refused"


def act(context: Context, id: str, name: ActName, who: str, reason: str) -> Saga:
    """Perform an act; what is to be sent goes out within seconds, by a running bus.

    Args:
        context: of the bus.
        id: of the saga.
        name: one of ``saga.acts()``.
        who: the person.
        reason: why; for the audit.

    Returns:
        The saga behind it.

    Raises:
        ActRefused: there is no such saga, or it does not know this act now (somebody else was quicker, perhaps).
    """
    with context.store.transaction() as t:
        return _act(context, t, id, Act(name, who, reason))


def _act(context: Context, t: Transaction, id: str, act: Act) -> Saga:
    row = t.sagas.lock([id]).get(id)
    if row is None:
        raise ActRefused(f"there is no saga {id}: `esb sagas list` shows what there is")
    saga = saga_of(row)
    if act.act not in saga.acts():
        allowed = ", ".join(saga.acts()) or "nothing more"
        raise ActRefused(f"saga {saga.name} {saga.key} is {saga.status}: {act.act} is not possible, only {allowed}")
    move = advance(context.versions.saga(t, saga.definition, saga.name), saga, act, context.clock())
    message_id = derive_id(saga.id, saga.version, f"saga:{saga.name}", f"act:{act.act}", 0)
    trigger = saga.trigger
    message = child_of(trigger, message_id, f"esb.saga.{act.act}", 0, trigger.subject or saga.key, b"null")
    round = Round(context, context.journal(), t)
    round.apply(saga, move, message)
    round.write(hold=False)
    t.audit.append(act.who, f"saga {act.act}", id, act.reason, f"{saga.name} {saga.key}: {_words(saga, move.saga)}")
    return move.saga


def _words(before: Saga, after: Saga) -> str:
    step = f" at {before.step}" if before.step else ""
    return f"{before.status}{step} → {after.status}"
