"""What is due: messages of timers go out, and groups whose time has come move on."""

from __future__ import annotations

from esb.store import Dispatch, Transaction
from esb.worker.groups import strike_due
from esb.worker.upkeep import Upkeep

BATCH = 200


def next_due(t: Transaction) -> float | None:
    """When :func:`fire_due` has something to do next, epoch seconds; None when nothing waits for a moment."""
    found = [due for due in (t.timers.next_due(), t.groups.next_due()) if due is not None]
    return min(found, default=None)


def fire_due(upkeep: Upkeep) -> int:
    """Move the messages of all timers that are due into the outbox, and groups on; how many they were.

    A timer leaves with the same commit by which its message enters, so that whoever dies, it fires once. A message
    that no queue takes rests in the outbox and is tried again; it holds up no other.
    """
    fired, moved = 0, BATCH
    while moved == BATCH:
        moved = _move(upkeep)
        fired += moved
    return fired + strike_due(upkeep)


def _move(upkeep: Upkeep) -> int:
    with upkeep.store.transaction() as t:
        rows = t.timers.due(upkeep.clock(), BATCH)
        t.outbox.add([Dispatch(message=row.message, to=row.to, properties=row.properties) for row in rows])
        t.timers.remove([row.id for row in rows])
        upkeep.point("jobs: timers moved")
    if rows:
        upkeep.committed()
    return len(rows)
