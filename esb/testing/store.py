"""The scenarios of the store, run against each database: whoever adds a database makes them pass.

Use: a test class that inherits :class:`StoreScenarios`, and a fixture ``store`` that gives an empty, migrated
:class:`~esb.store.Store`.
"""

from __future__ import annotations

from esb.testing._store.cooperation import (
    BreakerScenarios,
    ClaimScenarios,
    DefinitionScenarios,
    LeaseScenarios,
    SuspectScenarios,
)
from esb.testing._store.effects import InboxScenarios, OutboxScenarios, TimerScenarios
from esb.testing._store.held import HeldScenarios
from esb.testing._store.parked import ParkedScenarios
from esb.testing._store.people import LookingScenarios, SessionScenarios, UserScenarios
from esb.testing._store.sagas import SagaScenarios
from esb.testing._store.scheduled import ProbeScenarios, ReplayScenarios, ScheduleScenarios
from esb.testing._store.switches import SwitchScenarios
from esb.testing._store.tracking import LedgerScenarios, RefusalScenarios, TrackingScenarios
from esb.testing._store.upkeep import RetentionScenarios, TransactionScenarios


class StoreScenarios(
    TransactionScenarios,
    TrackingScenarios,
    RefusalScenarios,
    LedgerScenarios,
    InboxScenarios,
    OutboxScenarios,
    TimerScenarios,
    HeldScenarios,
    ParkedScenarios,
    ClaimScenarios,
    LeaseScenarios,
    BreakerScenarios,
    SuspectScenarios,
    SwitchScenarios,
    DefinitionScenarios,
    SagaScenarios,
    UserScenarios,
    SessionScenarios,
    LookingScenarios,
    RetentionScenarios,
    ScheduleScenarios,
    ProbeScenarios,
    ReplayScenarios,
):
    """All of them."""
