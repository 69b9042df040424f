"""Endpoints: the bus's own keys, and the open ones that adapter and format define."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel

from esb.config.components import Components
from esb.config.definition import LoadedEndpoint, LoadedOperation, LoadedReceive
from esb.config.files import merged
from esb.config.findings import Report, nearest
from esb.config.models import BusConfig, Endpoint, Operation, Receive, Recovery
from esb.config.secrets import Outside
from esb.config.tree import Map, Spot, root
from esb.config.validate import build, keys_of
from esb.ports import Adapter, Doubt, Effect


class EndpointLoader(msgspec.Struct):
    """Turns endpoint documents into loaded endpoints."""

    components: Components
    config: BusConfig
    outside: Outside
    report: Report

    def load(self, document: Map) -> LoadedEndpoint | None:
        """One endpoint, or None when it has findings."""
        before = len(self.report.findings)
        spot = root(document, document.place.file)
        value = self.outside.resolve(document, document.place)
        model = build(Endpoint, value, spot, self.report)
        adapter = self._adapter(document, spot)
        parts = self._parts(adapter, value, spot) if adapter else None
        format_name, format_settings = self._format(value, spot)
        failed = any(f.level == "error" for f in self.report.findings[before:])
        if model is None or parts is None or failed:
            return None
        settings, receive, operations = parts
        self._together(adapter, settings, receive, operations, spot)
        return LoadedEndpoint(
            name=model.endpoint,
            title=model.title or model.endpoint,
            adapter=model.adapter,
            owner=model.owner,
            settings=settings,
            format=format_name,
            format_settings=format_settings,
            records=model.records,
            receive=receive,
            operations=operations,
            concurrency=model.concurrency,
            timeout=model.timeout,
            recovery=overridden(self.config.recovery, model.recovery),
            test_messages=model.test_messages,
            file=document.place.file,
            line=document.place.line,
            backlog=model.backlog,
        )

    def _adapter(self, document: Map, spot: Spot) -> type[Adapter] | None:
        kind = document.get("adapter")
        if not isinstance(kind, str):
            return None
        adapter = self.components.adapters.get(kind)
        if adapter is None:
            known = self.components.adapters
            text = f"There is no adapter {kind!r}; known are {', '.join(sorted(known))}."
            self.report.at(spot.at("adapter"), "unknown-adapter", text, hint=nearest(kind, known))
        return adapter

    def _parts(self, adapter: type[Adapter], value: Map, spot: Spot) -> tuple[Any, Any, Any]:
        settings = build(adapter.Settings, value.get("settings"), spot.at("settings"), self.report)
        return settings, self._receive(adapter, value, spot), self._operations(adapter, settings, value, spot)

    def _receive(self, adapter: type[Adapter], value: Map, spot: Spot) -> LoadedReceive | None:
        if "receive" not in value:
            return None
        here = spot.at("receive")
        if not (adapter.features.polls or adapter.features.serves):
            text = f"The adapter {adapter.kind!r} only sends: nothing comes in through it. Remove 'receive'."
            self.report.at_key(here, "unsupported", text)
            return None
        parts = self._split(Receive, adapter.Receive, value["receive"], here)
        return LoadedReceive(*parts) if parts else None

    def _operations(self, adapter: type[Adapter], settings: Any, value: Map, spot: Spot) -> dict[str, LoadedOperation]:
        operations = value.get("operations")
        if not isinstance(operations, Map):
            return {}  # absent, or a wrong type that the endpoint's model has already refused
        here = spot.at("operations")
        if not adapter.features.sends:
            text = f"The adapter {adapter.kind!r} only receives: it has no operations. Remove them."
            self.report.at_key(here, "unsupported", text)
            return {}
        found = {
            name: self._operation(adapter, settings, written, here.at(name)) for name, written in operations.items()
        }
        return {name: operation for name, operation in found.items() if operation is not None}

    def _operation(self, adapter: type[Adapter], settings: Any, written: Any, spot: Spot) -> LoadedOperation | None:
        parts = self._split(Operation, adapter.Operation, written, spot)
        if parts is None or settings is None:
            return None  # has its findings already
        common, own = parts
        default, can_tell = adapter.effect(settings, own), adapter.can_tell(settings, own)
        beyond = _beyond(adapter, common, default, can_tell)
        for key, text in beyond.items():
            say = self.report.at_key if key == "reply" else self.report.at
            say(spot.at(key), "unsupported", text)
        in_doubt: Doubt = common.in_doubt or ("probe" if can_tell else "park")
        return None if beyond else LoadedOperation(common, own, common.effect or default, in_doubt)

    def _together(self, adapter: Any, settings: Any, receive: Any, operations: Any, spot: Spot) -> None:
        own = {name: operation.settings for name, operation in operations.items()}
        for problem in adapter.problems(settings, own, receive.settings if receive else None):
            self.report.add(spot.at("adapter").place, "bad-value", problem, pointer="/settings")

    def _split(self, common: type[Any], own: type[BaseModel], value: Any, spot: Spot) -> tuple[Any, Any] | None:
        """The bus's keys and the adapter's, each validated by its own model."""
        if value is None:
            value = Map(spot.place)
        if not isinstance(value, Map):
            self.report.at(spot, "wrong-type", "A mapping (key: value) is needed here.")
            return None
        keys = keys_of(common)
        first = build(common, value.only(keys), spot, self.report)
        second = build(own, value.without(*keys), spot, self.report, also=keys)
        return (first, second) if first is not None and second is not None else None

    def _format(self, value: Map, spot: Spot) -> tuple[str, Any]:
        """``csv``, or ``{csv: {settings}}``."""
        written = value.get("format", "json")
        here = spot.at("format") if "format" in value else spot
        if isinstance(written, Map) and len(written) == 1:
            name, settings = next(iter(written.items()))
            place = here.at(name)
        elif isinstance(written, str):
            name, settings, place = written, None, here
        else:
            self.report.at(here, "wrong-type", "A format is a name, or one name with its settings: {csv: {…}}.")
            return "", None
        kind = self.components.formats.get(name)
        if kind is None:
            known = self.components.formats
            text = f"There is no format {name!r}; known are {', '.join(sorted(known))}."
            where = place.key_at if isinstance(written, Map) else place.place
            self.report.add(where, "unknown-format", text, pointer=here.pointer, value=name, hint=nearest(name, known))
            return name, None
        return name, build(kind.Settings, settings, place, self.report)


def _beyond(adapter: type[Adapter], operation: Operation, default: Effect, can_tell: bool) -> dict[str, str]:
    """What an operation asks of an adapter that does not do it, by key."""
    kind, found = f"The adapter {adapter.kind!r}", dict[str, str]()
    if operation.effect == "keyed" and default == "unkeyed":
        what = "this operation is not keyed" if adapter.features.keyed else "nothing it does is keyed"
        found["effect"] = f"{kind} passes no key on here, so {what}: say unkeyed."
    if operation.reply and not adapter.features.replies:
        found["reply"] = f"{kind} hears no answer, so there is none to check: remove 'reply'."
    if operation.in_doubt == "probe" and not can_tell:
        way = "say under 'probe' how to ask" if adapter.features.probes else "say retry or park"
        found["in_doubt"] = f"{kind} cannot tell here whether a send took place: {way}."
    if operation.batch > 1 and not adapter.features.batches:
        found["batch"] = f"{kind} takes one message a call: remove 'batch'."
    return found


def overridden(base: Recovery, over: Recovery | None) -> Recovery:
    """The bus's recovery with what an endpoint says itself laid on top, key by key."""
    if over is None:
        return base
    changes: dict[str, Any] = {name: getattr(over, name) for name in over.model_fields_set}
    for name in {"breaker", "budget"} & changes.keys():
        inner = changes[name]
        said = {key: getattr(inner, key) for key in inner.model_fields_set}
        changes[name] = getattr(base, name).model_copy(update=said)
    return base.model_copy(update=changes)


def apply_overlay(endpoints: list[Map], overlay: Map | None, report: Report) -> list[Map]:
    """The endpoints with the ``endpoints:`` of an environment's overlay laid on them."""
    if overlay is None or "endpoints" not in overlay:
        return endpoints
    changes = overlay["endpoints"]
    spot = root(overlay, overlay.place.file).at("endpoints")
    if not isinstance(changes, Map):
        report.at(spot, "wrong-type", "Write endpoints here as name: {settings: …}.")
        return endpoints
    by_name = {d["endpoint"]: d for d in endpoints if isinstance(d.get("endpoint"), str)}
    for name, change in changes.items():
        if name not in by_name:
            text = f"There is no endpoint {name!r} to override."
            report.at_key(spot.at(name), "unknown-endpoint", text, value=name, hint=nearest(name, by_name))
        elif not isinstance(change, Map):
            report.at(spot.at(name), "wrong-type", "A mapping (key: value) is needed here.")
    return [_changed(document, changes) for document in endpoints]


def _changed(document: Map, changes: Map) -> Map:
    name = document.get("endpoint")
    change = changes.get(name) if isinstance(name, str) else None
    return merged(document, change) if isinstance(change, Map) else document
