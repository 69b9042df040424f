"""Carries out what messages set, in the commit that tracks them."""

from __future__ import annotations

from collections.abc import Iterable

from esb.flow.result import Control
from esb.store import Transaction


def carry_out(t: Transaction, flow: str, controls: Iterable[Control]) -> None:
    """As a person would, and audited: the flow did it. What is set already stays as it is."""
    who = f"flow {flow}"
    for one in controls:
        if one.kind != "endpoint":
            _set(t, one, who)
        elif one.value is None:
            t.pauses.resume(one.name, who, one.why)
        else:
            t.pauses.pause(one.name, who, one.why)


def _set(t: Transaction, one: Control, who: str) -> None:
    assert one.kind != "endpoint"
    if one.value is None:
        t.switches.unset(one.kind, one.name, [one.key], who, one.why)
    else:
        t.switches.set(one.kind, one.name, {one.key: one.value}, who, one.why)
