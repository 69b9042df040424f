"""YAML with positions -> models; findings; secrets."""

from esb.config.components import Components, Scope, Step, StepKind, Steps
from esb.config.definition import Definition
from esb.config.findings import Finding, format_findings, to_json
from esb.config.load import (
    Checked,
    check,
    inspect,
    load,
    load_bus_config,
    load_stored,
    sources_of_flows,
    sources_of_sagas,
)
from esb.config.secrets import redact

__all__ = [
    "Checked",
    "Components",
    "Definition",
    "Finding",
    "Scope",
    "Step",
    "StepKind",
    "Steps",
    "check",
    "format_findings",
    "inspect",
    "load",
    "load_bus_config",
    "load_stored",
    "redact",
    "sources_of_flows",
    "sources_of_sagas",
    "to_json",
]
