"""What is installed, and what an endpoint needs of it. Loads nothing of what runs a bus, so that a check is quick."""

from __future__ import annotations

from importlib.metadata import entry_points

from esb.config import Components, Definition
from esb.flow import STEPS
from esb.formats import FORMATS
from esb.ports import Adapter, Format

ADAPTERS = "esb.adapters"  # entry-point group


def discover() -> Components:
    """Every adapter kind that is installed (ours and third parties'), every format and step."""
    adapters = {point.name: point.load() for point in entry_points(group=ADAPTERS)}
    return Components(adapters=adapters, formats=FORMATS, steps=STEPS)


def make_adapter(name: str, definition: Definition, components: Components) -> Adapter:
    """The adapter of one endpoint, not yet opened."""
    endpoint = definition.endpoints[name]
    return components.adapters[endpoint.adapter](
        name,
        endpoint.settings,
        {word: operation.settings for word, operation in endpoint.operations.items()},
        endpoint.receive.settings if endpoint.receive else None,
        root=definition.root,
    )


def make_format(name: str, definition: Definition, components: Components) -> Format:
    """The format of one endpoint."""
    endpoint = definition.endpoints[name]
    return components.formats[endpoint.format](endpoint.format_settings)
