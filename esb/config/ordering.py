"""What is checked of a flow that keeps the order of its messages."""

from __future__ import annotations

from collections.abc import Iterable

from esb.config.rules import source_view
from esb.config.scope import FlowScope, World
from esb.config.steps import ParsedFlow
from esb.config.tree import Map


def check_ordering(flows: Iterable[ParsedFlow], world: World) -> None:
    """The key must be there, and nothing hidden; no step may let one message pass another."""
    for parsed in flows:
        if "ordering" in parsed.spot.value:
            _check_key(parsed, world)
            _check_steps(parsed, world)


def _check_key(parsed: ParsedFlow, world: World) -> None:
    written = parsed.spot.value["ordering"]
    at = ("ordering", "by") if isinstance(written, Map) else ("ordering",)
    if parsed.flow is not None and parsed.flow.ordering:
        FlowScope(world, parsed, parsed.spot, source_view(parsed, world)).expression(
            parsed.flow.ordering, at, shown=True
        )


def _check_steps(parsed: ParsedFlow, world: World) -> None:
    for step in parsed.steps:
        why = world.steps[step.kind].overtaking(step.settings)
        if why:
            spot = parsed.spots[id(step)]
            text = (
                f"The step {step.name!r} cannot stand in a flow with 'ordering': {why}. "
                "Or put it into a flow of its own, behind an event."
            )
            world.report.add(spot.key_at, "unsupported", text, pointer=spot.pointer, value=step.kind)
