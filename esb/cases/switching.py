"""What somebody sets in the course of a case."""

from __future__ import annotations

from esb.cases.bench import Bench
from esb.cases.given import Unusable
from esb.cases.models import Switched
from esb.flow.switchable import OFF, ON, Switchable, switchable
from esb.store import SwitchKind


def switch(switched: Switched, bench: Bench) -> None:
    """Detours and throttles by their step, in whichever of the flows that run has it. Raises ``Unusable``."""
    known = switchable(bench.definition)
    for step, on in switched.detours.items():
        _set(bench, known, "detour", _flow_with(step, known), step, ON if on else OFF)
    for step, rate in switched.rates.items():
        _set(bench, known, "throttle", _flow_with(step, known), step, rate)
    for table, rows in switched.tables.items():
        for key, words in rows.items():
            _set(bench, known, "table", table, key, words)


def _set(bench: Bench, known: Switchable, kind: SwitchKind, name: str, key: str, value: str) -> None:
    wrong = known.problem(kind, name, key, value)
    if wrong:
        raise Unusable(wrong)
    bench.switch(kind, name, {key: value})


def _flow_with(step: str, known: Switchable) -> str:
    flows = (flow for flow in sorted(known.flows) if step in known.detours[flow] or step in known.throttles[flow])
    return next(flows, min(known.flows))
