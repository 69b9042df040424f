"""The store: tracking, inbox, outbox, parked messages and what else must survive, on SQLite or PostgreSQL."""

from esb.store.audit import AuditEntry
from esb.store.breakers import BreakerRow
from esb.store.claims import ClaimState
from esb.store.definitions import StoredDefinition
from esb.store.figures import Trouble
from esb.store.groups import GroupRow, MemberRow
from esb.store.held import Held, Line, Stand
from esb.store.inbox import InboxEntry
from esb.store.leases import ROLE
from esb.store.ledger import Ledger
from esb.store.outbox import Dispatch
from esb.store.owners import new_owner
from esb.store.parked import IN_DOUBT, RETRY, Chosen, Group, Parked, Waiting
from esb.store.pauses import Pause
from esb.store.probes import Probe
from esb.store.replays import Plan, Replay, Watched
from esb.store.sagas import SagaRow
from esb.store.schedules import ScheduleRow
from esb.store.sessions import FIRST, Session
from esb.store.store import Store, Transaction, open_store
from esb.store.switches import Switch, SwitchKind
from esb.store.timers import Timer
from esb.store.tracking import FINAL, Hop, Status
from esb.store.traffic import PlaceTraffic, Traffic
from esb.store.users import ROLES, Role, User

__all__ = [
    "FINAL",
    "FIRST",
    "IN_DOUBT",
    "RETRY",
    "ROLE",
    "ROLES",
    "AuditEntry",
    "BreakerRow",
    "Chosen",
    "ClaimState",
    "Dispatch",
    "Group",
    "GroupRow",
    "Held",
    "Hop",
    "InboxEntry",
    "Ledger",
    "Line",
    "MemberRow",
    "Parked",
    "Pause",
    "PlaceTraffic",
    "Plan",
    "Probe",
    "Replay",
    "Role",
    "SagaRow",
    "ScheduleRow",
    "Session",
    "Stand",
    "Status",
    "Store",
    "StoredDefinition",
    "Switch",
    "SwitchKind",
    "Timer",
    "Traffic",
    "Transaction",
    "Trouble",
    "User",
    "Waiting",
    "Watched",
    "new_owner",
    "open_store",
]
