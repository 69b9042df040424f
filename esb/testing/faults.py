"""Crashes at named points, for the fault tests of the bus and of anybody's adapters; see :mod:`esb.worker.points`."""

from __future__ import annotations

from esb.worker.points import (
    CRASH_AT,
    CRASH_ONCE,
    GROUP_POINTS,
    POINTS,
    SAGA_POINTS,
    Crasher,
    point_from_environment,
)

__all__ = ["CRASH_AT", "CRASH_ONCE", "GROUP_POINTS", "POINTS", "SAGA_POINTS", "Crasher", "point_from_environment"]
