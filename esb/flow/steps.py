"""The registry of step kinds, by the word used in YAML. A new kind is a class in its family's file and a name here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from esb.flow.calling import Call, Enrich
from esb.flow.messaging import Publish, Send, Wiretap
from esb.flow.repeating import Loop, Slip
from esb.flow.routing import Choose, Filter, Split
from esb.flow.step import Kind
from esb.flow.transformation import Map, Set
from esb.flow.trying import Try

STEPS: Mapping[str, type[Kind]] = MappingProxyType(
    {
        kind.kind: kind
        for kind in (Map, Set, Filter, Choose, Split, Send, Publish, Wiretap, Call, Enrich, Loop, Slip, Try)
    }
)
