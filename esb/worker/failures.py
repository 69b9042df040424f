"""What keeps the failed-message store in bounds: nothing is dropped, but a place that fails without end is stopped."""

from __future__ import annotations

from esb.flow.switchable import PAUSED
from esb.store import Chosen, Transaction
from esb.worker.repair import act_on
from esb.worker.thread import log
from esb.worker.upkeep import Upkeep

WHO = "the bus"


def keep_in_bounds(upkeep: Upkeep) -> str:
    """Pause places with too many parked messages, and discard what nobody decided about, as ``parked:`` says."""
    settings = upkeep.definition.config.parked
    paused = _pause(upkeep, settings.most) if settings.most else 0
    given_up = 0
    if settings.discard_after is not None:
        old = Chosen(until=upkeep.clock() - settings.discard_after)
        given_up = act_on(upkeep.store, "discard", old, WHO, "older than parked.discard_after").count
        if given_up:
            upkeep.committed()
    return f"places paused: {paused}, messages discarded: {given_up}"


def _pause(upkeep: Upkeep, most: int) -> int:
    """What comes to them waits in the broker; whoever resumes one has made room, or has it paused again."""
    with upkeep.store.transaction() as t:
        found = [place for place, _ in t.parked.crowded(most) if _stop(t, place, most)]
    for place in found:
        log.warning("paused: too many parked messages", place=place, most=most)
    return len(found)


def _stop(t: Transaction, place: str, most: int) -> bool:
    kind, _, name = place.partition(":")
    why = f"{most} parked messages: mend the cause, retry or discard them, and resume it (parked.most)"
    if kind == "flow":
        return bool(t.switches.set("flow", name, {"": PAUSED}, WHO, why))
    return kind in ("in", "out") and t.pauses.pause(name, WHO, why)
