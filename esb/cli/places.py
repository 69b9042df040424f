"""A place that a command is asked about: one where nothing is found must at least exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esb.cli.common import unknown

if TYPE_CHECKING:
    from esb.config import Definition
    from esb.store import Store

SORTS = ("in:", "out:", "flow:", "saga:", "event:")  # all places of a sort


def refuse_unknown(place: str, root: str, env: str | None, store: Store) -> None:
    """Leave with exit code 3 and the nearest place, where neither the configuration nor the store knows this one.

    To be asked only where nothing was found: it reads the whole configuration. One that has findings refuses nothing.
    """
    from esb.config import inspect
    from esb.discovery import discover

    if place in SORTS or _was_used(place, store):
        return
    definition = inspect(root, discover(), env).definition
    known = _places(definition) if definition is not None else [place]
    if place not in known:
        unknown("place", place, known)


def _was_used(place: str, store: Store) -> bool:
    """Also what is no longer in the configuration has its journeys, and what is parked there."""
    with store.reading() as t:
        return bool(t.tracking.find(place=place, tests=True, limit=1) or t.parked.list(place=place, limit=1))


def _places(definition: Definition) -> list[str]:
    endpoints = definition.endpoints.values()
    return [
        *(f"flow:{name}" for name in definition.flows),
        *(f"in:{endpoint.name}" for endpoint in endpoints if endpoint.receive),
        *(f"out:{endpoint.name}" for endpoint in endpoints if endpoint.operations),
        *(f"saga:{name}" for name in definition.sagas),
    ]
