"""Faults of other kinds than deaths at named points; `make faults` has them all, on servers too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import places
from tests.faults.harness import Fire
from tests.faults.kinds import KINDS
from tests.faults.scenarios import DELAYS
from tests.faults.trial import Trial

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
HOLD = 2.0  # seconds that a fault lasts
EMBEDDED = ("full disk",)  # deaths are in test_ledger.py


def test_embedded(tmp_path: Path) -> None:
    """The disk is full for a while: nothing is lost, doubled or stuck."""
    _passes(Fire(tmp_path, places.embedded(tmp_path), seed=4711, under_way=40, delays=DELAYS), EMBEDDED)


def _passes(fire: Fire, kinds: tuple[str, ...]) -> None:
    trial = Trial(fire, HOLD)
    try:
        trial.begin()
        for kind in kinds:
            trial.strike(kind, KINDS[kind].act(trial), KINDS[kind].lasts)
        verdict = trial.finish()
        assert verdict.clean, verdict
        assert trial.problems() == []
    finally:
        trial.close()
        fire.close()
