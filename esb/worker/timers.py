"""Timers that are due: their messages go out."""

from __future__ import annotations

from esb.store import Dispatch
from esb.worker.upkeep import Upkeep

BATCH = 200


def fire_due(upkeep: Upkeep) -> int:
    """Move the messages of all timers that are due into the outbox; how many they were.

    A timer leaves with the same commit by which its message enters, so that whoever dies, it fires once. A message
    that no queue takes rests in the outbox and is tried again; it holds up no other.
    """
    fired, moved = 0, BATCH
    while moved == BATCH:
        moved = _move(upkeep)
        fired += moved
    return fired


def _move(upkeep: Upkeep) -> int:
    with upkeep.store.transaction() as t:
        rows = t.timers.due(upkeep.clock(), BATCH)
        t.outbox.add([Dispatch(message=row.message, to=row.to, properties=row.properties) for row in rows])
        t.timers.remove([row.id for row in rows])
        upkeep.point("jobs: timers moved")
    if rows:
        upkeep.committed()
    return len(rows)
