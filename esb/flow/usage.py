"""What is used where: the mappings and contracts of a definition, and who refers to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from esb.config.definition import Definition, LoadedEndpoint, LoadedFlow
from esb.flow.outline import whole


class Use(msgspec.Struct, frozen=True, order=True):
    """One use: by what, and what for."""

    kind: str  # endpoint, flow, mapping or saga
    name: str
    role: str  # receives, step map:order …

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.role})"


def mapping_uses(definition: Definition) -> dict[str, list[Use]]:
    """Mapping -> who uses it, in order."""
    return _gathered(definition.mappings, _mappings(definition))


def contract_uses(definition: Definition) -> dict[str, list[Use]]:
    """Contract -> who refers to it, in order."""
    return _gathered(definition.contracts, _contracts(definition))


def flows_at(definition: Definition, endpoint: str) -> tuple[list[str], list[str]]:
    """The flows that start at an endpoint, and those that send to it."""
    starts = [flow.name for flow in definition.flows.values() if flow.source == endpoint]
    return starts, [flow.name for flow in definition.flows.values() if endpoint in targets(flow)]


def targets(flow: LoadedFlow) -> set[str]:
    """The endpoints that a flow sends to, calls or asks."""
    links = (link for node in whole(flow) for link in node.links)
    return {link.name for link in links if link.kind == "endpoint"}


def _gathered(names: Any, uses: Iterator[tuple[str, Use]]) -> dict[str, list[Use]]:
    found: dict[str, set[Use]] = {name: set() for name in names}
    for name, use in uses:
        found.setdefault(name, set()).add(use)
    return {name: sorted(those) for name, those in found.items()}


def _mappings(definition: Definition) -> Iterator[tuple[str, Use]]:
    for flow in definition.flows.values():
        for node in whole(flow):
            yield from ((name, Use("flow", flow.name, f"step {node.name}")) for name in node.mappings)
    for saga in definition.sagas.values():
        for step in saga.steps:
            for part, role in ((step, "step"), (step.compensate, "compensation of")):
                if part and isinstance(part.mapping, str):
                    yield part.mapping, Use("saga", saga.name, f"{role} {step.name}")


def _contracts(definition: Definition) -> Iterator[tuple[str, Use]]:
    for endpoint in definition.endpoints.values():
        yield from _of_endpoint(endpoint)
    for flow in definition.flows.values():
        if flow.is_event:
            yield flow.source, Use("flow", flow.name, "starts there")
        for node in whole(flow):
            yield from ((ref, Use("flow", flow.name, f"step {node.name}")) for ref in node.contracts)
    for mapping in definition.mappings.values():
        for ref, role in ((mapping.source, "from"), (mapping.target, "to")):
            if ref:
                yield ref, Use("mapping", mapping.name, role)
    for saga in definition.sagas.values():
        if saga.is_event:
            yield saga.source, Use("saga", saga.name, "starts there")


def _of_endpoint(endpoint: LoadedEndpoint) -> Iterator[tuple[str, Use]]:
    if endpoint.receive and endpoint.receive.common.contract:
        yield endpoint.receive.common.contract, Use("endpoint", endpoint.name, "receives")
    for name, operation in endpoint.operations.items():
        for ref, role in ((operation.common.contract, "sends"), (operation.common.reply, "is answered")):
            if ref:
                yield ref, Use("endpoint", endpoint.name, f"{role} {name}")
