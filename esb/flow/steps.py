"""The registry of step kinds, by the word used in YAML. A new kind is a class in its family's file and a name here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Any

import msgspec

from esb.flow.aggregating import Aggregate
from esb.flow.calling import Call, Enrich
from esb.flow.claiming import Claim, Fetch
from esb.flow.content import Keep, Remove, Unwrap, Wrap
from esb.flow.control import Control
from esb.flow.detour import Detour
from esb.flow.gathering import Gather
from esb.flow.groups import Machine
from esb.flow.idempotence import Idempotent
from esb.flow.messaging import Publish, Send, Wiretap
from esb.flow.recipients import RecipientList, Route
from esb.flow.repeating import Loop, Slip
from esb.flow.resequencing import Resequence
from esb.flow.routing import Choose, Filter, Split
from esb.flow.step import Kind
from esb.flow.timing import Delay, Expire, Throttle
from esb.flow.transformation import Map, Set
from esb.flow.trying import Try

STATELESS: tuple[type[Kind], ...] = (
    Map, Set, Keep, Remove, Wrap, Unwrap,
    Filter, Expire, Choose, Detour, Split,
    Send, RecipientList, Route, Publish, Wiretap,
    Call, Enrich,
    Loop, Slip, Try,
    Control,
)  # fmt: skip
STATEFUL: tuple[type[Kind], ...] = (Aggregate, Resequence, Gather, Idempotent, Throttle, Delay, Claim, Fetch)
STEPS: Mapping[str, type[Kind]] = MappingProxyType({kind.kind: kind for kind in (*STATELESS, *STATEFUL)})

_MACHINES: Any = reduce(or_, (kind.machine for kind in STEPS.values() if kind.machine))
_decoder = msgspec.msgpack.Decoder(_MACHINES)


def read_machine(data: bytes) -> Machine:
    """A group's machine as it was packed (``msgspec.msgpack``)."""
    machine: Machine = _decoder.decode(data)
    return machine
