"""Replays: parked messages sent on, at once when they are few, in pieces when they are many."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from esb.store import Transaction
from esb.store.parked import Key
from esb.worker.upkeep import Upkeep

AT_ONCE = 500  # messages that are sent on within the act itself
FULL = 2000  # messages in the outbox at which a replay rests: what is new must not queue up behind it


class SentOn(msgspec.Struct, frozen=True):
    """What an act came to: so many sent on now, or the replay that works them off."""

    sent: int
    replay: str = ""


def send_on(t: Transaction, keys: Sequence[Key], who: str, why: str = "") -> SentOn:
    """Send parked messages on again, from where they failed. Audited, each message under ``who``."""
    if len(keys) <= AT_ONCE:
        return SentOn(len(t.parked.retry(keys, who, why)))
    return SentOn(0, t.replays.start(keys, who, why))


def work_off(upkeep: Upkeep) -> int:
    """Work off what replays have left, as far as there is room; how many pieces that were.

    A piece leaves with the commit that sends its messages on, so that a death in between repeats nothing.
    """
    with upkeep.store.reading() as t:
        open = t.replays.open()
    return sum(_work_off(upkeep, id) for id in open)


def _work_off(upkeep: Upkeep, id: str) -> int:
    pieces, going = 0, True
    while going:
        with upkeep.store.transaction() as t:
            going = t.outbox.count() < FULL and t.replays.step(id, upkeep.clock())
            upkeep.point("jobs: piece sent on")
        if going:
            pieces += 1
            upkeep.committed()
    return pieces
