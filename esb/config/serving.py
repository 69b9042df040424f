"""Where the bus listens: each path belongs to one endpoint, or to the bus itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from esb.config.definition import LoadedEndpoint
from esb.config.scope import World
from esb.config.tree import Map, Spot, root
from esb.ports import Adapter

HEALTH, READY = "/healthz", "/readyz"


def check_paths(documents: Iterable[Map], world: World, adapters: Mapping[str, type[Adapter]]) -> None:
    """No two endpoints listen at one path: the web role could not start."""
    owners = dict.fromkeys((HEALTH, READY), "the bus itself")
    for document in documents:
        endpoint = world.endpoints.get(str(document.get("endpoint")))
        path = _path(endpoint, adapters[endpoint.adapter]) if endpoint else None
        if endpoint is None or path is None:
            continue
        spot = root(document, document.place.file).at("receive", "path")
        if path in owners:
            what = f"The endpoint {endpoint.name!r} listens at {path}, which belongs to {owners[path]}"
            world.report.at(spot, "duplicate-path", f"{what}: {_remedy(spot)}.", value=path)
        else:
            owners[path] = f"the endpoint {endpoint.name!r} ({spot.place.file}:{spot.place.line})"


def _path(endpoint: LoadedEndpoint, adapter: type[Adapter]) -> str | None:
    """What its adapter will say when the bus asks where to listen; making one touches nothing outside."""
    if endpoint.receive is None or not adapter.features.serves:
        return None
    operations = {name: operation.settings for name, operation in endpoint.operations.items()}
    path, _ = adapter(endpoint.name, endpoint.settings, operations, endpoint.receive.settings).path()
    return path


def _remedy(spot: Spot) -> str:
    return "give it another path" if spot.path == ("receive", "path") else "give it a path of its own under 'receive'"
