"""From loaded configuration to functions: every expression, mapping and reference is resolved once, here."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from esb.config.components import Step
from esb.config.definition import Definition, LoadedFlow, LoadedMapping
from esb.config.hidden import masks_of
from esb.contract import Contract
from esb.flow.context import Context, Parts
from esb.flow.run import Flow
from esb.flow.steps import STEPS
from esb.mapping import Mapping as CompiledMapping


def build_parts(definition: Definition) -> Parts:
    """Compile a whole definition.

    Raises ``ConfigError``, ``ContractError`` or ``ExpressionError`` for what ``check`` would have found.
    """
    contracts = {ref: Contract(ref, schema, definition.contracts) for ref, schema in definition.contracts.items()}
    mappings = {name: compile_mapping(loaded, definition) for name, loaded in definition.mappings.items()}
    parts = Parts(contracts, mappings, {}, masks_of(definition, STEPS))
    flows = {name: compile_flow(loaded, definition, parts) for name, loaded in definition.flows.items()}
    return msgspec.structs.replace(parts, flows=flows)


def compile_mapping(
    loaded: LoadedMapping, definition: Definition, kind: Callable[..., CompiledMapping] = CompiledMapping
) -> CompiledMapping:
    """One mapping, with its code lists as functions. ``kind`` makes it: one that takes notes, for instance."""
    return kind(
        name=loaded.name,
        source=loaded.source,
        target=loaded.target,
        set=loaded.set,
        lookups={name: definition.lookups[file] for name, file in loaded.lookups.items()},
        lines=loaded.lines,
        file=loaded.file,
    )


def compile_flow(
    loaded: LoadedFlow, definition: Definition, parts: Parts, compiling: Callable[..., Context] = Context
) -> Flow:
    """One flow, from its steps and the contracts and mappings of ``parts``. Raises as :func:`build_parts`."""
    context = compiling(loaded.name, definition, parts, STEPS)
    entry = Step("entry", None, "entry", loaded.file, loaded.line)
    source = _entry_contract(loaded, definition)
    return Flow(
        entry,
        loaded.name,
        loaded.source,
        context.whole(loaded.steps, loaded.on_error),
        context.parts_of_splits,
        context.pending,
        parts.contracts.get(source or ""),
        parts.contracts,
        context.expression(loaded.ordering, entry) if loaded.ordering else None,
    )


def _entry_contract(loaded: LoadedFlow, definition: Definition) -> str | None:
    """What the flow's steps were checked against: the event, or what its endpoint receives."""
    if loaded.is_event:
        return loaded.source
    endpoint = definition.endpoints.get(loaded.source)
    return endpoint.receive.common.contract if endpoint and endpoint.receive else None
