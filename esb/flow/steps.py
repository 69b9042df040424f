"""The registry of step kinds, by the word used in YAML: all that the modules of the families define."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType, ModuleType
from typing import Any

import msgspec

from esb.flow import (
    aggregating,
    calling,
    claiming,
    content,
    control,
    detour,
    gathering,
    idempotence,
    messaging,
    recipients,
    repeating,
    resequencing,
    routing,
    timing,
    transformation,
    trying,
)
from esb.flow.groups import Machine
from esb.flow.step import Kind

FAMILIES: tuple[ModuleType, ...] = (
    transformation, content, routing, timing, detour,
    messaging, recipients, calling,
    repeating, trying, control,
    aggregating, resequencing, gathering, idempotence, claiming,
)  # fmt: skip


def _kinds(family: ModuleType) -> Iterator[type[Kind]]:
    """Those that a module defines; a class without a word is what some of them share."""
    for one in vars(family).values():
        if (
            isinstance(one, type)
            and issubclass(one, Kind)
            and one.__module__ == family.__name__
            and "kind" in vars(one)
        ):
            yield one


STEPS: Mapping[str, type[Kind]] = MappingProxyType({kind.kind: kind for family in FAMILIES for kind in _kinds(family)})

_MACHINES: Any = reduce(or_, (kind.machine for kind in STEPS.values() if kind.machine))
_decoder = msgspec.msgpack.Decoder(_MACHINES)


def read_machine(data: bytes) -> Machine:
    """A group's machine as it was packed (``msgspec.msgpack``)."""
    machine: Machine = _decoder.decode(data)
    return machine
