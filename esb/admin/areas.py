"""The areas of the interface, in the order of the navigation. A new area is one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flask
import msgspec

from esb.admin import (
    account,
    audit,
    contracts,
    endpoints,
    flows,
    groups,
    guide,
    health,
    journey,
    mappings,
    messages,
    overview,
    parked,
    replays,
    sagas,
    signin,
    tables,
    users,
)
from esb.admin.services import Services
from esb.store import Role


class Area(msgspec.Struct, frozen=True):
    """One area. Without a ``title`` it is not in the navigation; ``key`` follows ``g`` on the keyboard."""

    blueprint: Callable[[Services], flask.Blueprint]
    title: str = ""
    key: str = ""
    group: str = ""
    role: Role = "viewer"


AREAS: Sequence[Area] = (
    Area(overview.blueprint, "Overview", "o", "Traffic"),
    Area(messages.blueprint, "Messages", "m", "Traffic"),
    Area(journey.blueprint),
    Area(parked.blueprint, "Parked", "p", "Traffic"),
    Area(replays.blueprint),
    Area(sagas.blueprint, "Sagas", "s", "Traffic"),
    Area(groups.blueprint, "Groups", "g", "Traffic"),
    Area(flows.blueprint, "Flows", "f", "Systems"),
    Area(endpoints.blueprint, "Endpoints", "e", "Systems"),
    Area(contracts.blueprint, "Contracts", "c", "Systems"),
    Area(mappings.blueprint, "Mappings", "t", "Systems"),
    Area(tables.blueprint, "Tables", "r", "Systems"),
    Area(audit.blueprint, "Audit", "a", "Administration", "operator"),
    Area(users.blueprint, "Users", "u", "Administration", "admin"),
    Area(guide.blueprint, "Help", "h", "Administration"),
    Area(account.blueprint),
    Area(signin.blueprint),
    Area(health.blueprint),
)
