"""A bus directory -> a Definition, or every finding there is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from esb.config.components import Components
from esb.config.contracts import load_contracts
from esb.config.definition import Definition, LoadedEndpoint, LoadedMapping, LoadedSaga
from esb.config.endpoints import EndpointLoader, apply_overlay
from esb.config.expressions import ExpressionChecker
from esb.config.files import Sources, merged, read_directory, read_stored
from esb.config.findings import Finding, Report, format_findings, in_order
from esb.config.hidden import Hidden
from esb.config.leaves import LeafChecker
from esb.config.lookups import load_lookups
from esb.config.mappings import load_mapping
from esb.config.masks import check_encryption
from esb.config.models import BusConfig
from esb.config.ordering import check_ordering
from esb.config.rules import (
    check_controls,
    check_endpoints,
    check_flows,
    check_loops,
    check_mappings,
    check_reach,
    check_retention,
    check_sources,
    check_unused,
)
from esb.config.sagas import check_sagas, load_saga
from esb.config.scope import World
from esb.config.secrets import SERVERS, Outside, redact, refuse_passwords
from esb.config.serving import check_paths
from esb.config.steps import ParsedFlow, parse_flow
from esb.config.synthetic import check_test_messages, check_test_replies
from esb.config.tree import Map, Place, put_at, root
from esb.config.validate import build
from esb.config.yaml import documents
from esb.errors import ConfigError
from esb.masking import Tree

_ENV = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_OVERRIDES = {"ESB_BROKER": ("broker",), "ESB_DATABASE": ("database",), "ESB_ADMIN_PORT": ("admin", "port")}


class Checked(msgspec.Struct):
    """What reading a directory gave: the definition when no error was found, all findings, the texts for excerpts."""

    definition: Definition | None
    findings: tuple[Finding, ...]
    sources: dict[str, str]


def load(
    directory: str | Path, components: Components, env: str | None = None, environ: Mapping[str, str] = os.environ
) -> Definition:
    """The definition of a bus directory.

    Args:
        directory: holds ``esb.yaml``.
        components: the adapters, formats and steps there are.
        env: lays ``esb.<env>.yaml`` on top.
        environ: for ``${NAME}``, secrets, and ``ESB_BROKER``, ``ESB_DATABASE`` and
            ``ESB_ADMIN_PORT``, which go before the files.

    Raises:
        ConfigError: with every finding; its text shows the errors with their source lines.
    """
    checked = inspect(directory, components, env, environ)
    if checked.definition is None:
        errors = [finding for finding in checked.findings if finding.level == "error"]
        raise ConfigError(format_findings(errors, checked.sources), checked.findings)
    return checked.definition


def check(
    directory: str | Path, components: Components, env: str | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Finding, ...]:
    """Everything that is wrong with a bus directory, in the order of files and lines; arguments as for ``load``."""
    return inspect(directory, components, env, environ).findings


def load_stored(
    root: Path, files: Mapping[str, str], components: Components, environ: Mapping[str, str] = os.environ
) -> Definition | None:
    """A definition that was in force, from its stored files.

    It was free of findings then; what cannot be resolved any more (a variable, a secret) leaves its part out.
    """
    report = Report()
    return _Loader(read_stored(root, files, report), components, environ, report).definition()


def load_bus_config(
    directory: str | Path, env: str | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Path, BusConfig]:
    """The directory, absolute, and its ``esb.yaml`` alone: enough to reach the store while a flow has findings."""
    report = Report()
    sources = read_directory(Path(directory).resolve(), env, report)
    config = _Loader(sources, Components({}, {}, {}), environ, report).config()
    errors = in_order(finding for finding in report.findings if finding.level == "error" and "/" not in finding.file)
    if config is None or errors:
        raise ConfigError(format_findings(errors, sources.texts), errors)
    return sources.root, config


def inspect(
    directory: str | Path, components: Components, env: str | None = None, environ: Mapping[str, str] = os.environ
) -> Checked:
    """Like ``check``, with the definition (None when there are errors) and the files' texts for ``format_findings``."""
    report = Report()
    path = Path(directory).resolve()
    if env is not None and not _ENV.fullmatch(env):
        report.add(Place("esb.yaml"), "bad-value", "The name of an environment is letters, digits, - and _.", value=env)
        env = None
    sources = read_directory(path, env, report)
    loader = _Loader(sources, components, environ, report)
    definition = loader.definition()
    findings = in_order(_redacted(finding, loader.outside.secrets) for finding in report.findings)
    failed = any(finding.level == "error" for finding in findings)
    return Checked(None if failed else definition, findings, sources.texts)


def _redacted(finding: Finding, secrets: list[Any]) -> Finding:
    value = redact(finding.value, secrets) if isinstance(finding.value, str) else finding.value
    return msgspec.structs.replace(finding, text=redact(finding.text, secrets), value=value)


class _Loader:
    """One pass over the sources; every part reports its own findings, and goes on without what is broken."""

    def __init__(self, sources: Sources, components: Components, environ: Mapping[str, str], report: Report) -> None:
        self.sources = sources
        self.components = components
        self.environ = environ
        self.report = report
        self.outside = Outside(sources.root, environ, report)
        self.bus_document: Map | None = None
        self.endpoint_documents: list[Map] = []
        self.mapping_documents: list[Map] = []
        self.saga_documents: list[Map] = []

    def definition(self) -> Definition | None:
        """The definition, or None where not even a provisional one can be made."""
        config = self.config()
        schemas = load_contracts(self.sources.contracts, self.report)
        lookups = load_lookups(self.sources.lookups, self.report)
        mappings = self._mappings()
        endpoints = self._endpoints(config or BusConfig())
        flows, sagas = self._flows(), self._sagas()
        hidden = Hidden(schemas, {e.name: e for e in endpoints})
        everywhere = hidden.everywhere([p.flow for p in flows if p.flow], sagas, self.components.steps).tree
        self._check(self._world(schemas, lookups, endpoints, everywhere), flows, sagas, config)
        if config is None:
            return None
        return Definition(
            root=str(self.sources.root),
            hash=content_hash(self.sources.texts),
            config=config,
            endpoints={e.name: e for e in endpoints},
            flows={p.flow.name: p.flow for p in flows if p.flow},
            sagas={s.name: s for s in sagas},
            mappings={m.name: m for m in mappings},
            contracts=schemas,
            lookups=lookups,
            files=dict(self.sources.texts),
            secrets=tuple(self.outside.secrets),
        )

    def _world(self, schemas: Any, lookups: Any, endpoints: list[LoadedEndpoint], everywhere: Tree | None) -> World:
        loaded = {e.name: e for e in endpoints}
        broken = {kind: set(names) for kind, names in self.sources.broken.items()}
        broken["endpoint"] |= _names_of_broken("endpoint", self.endpoint_documents, loaded)
        mappings = {d["mapping"]: d for d in self.mapping_documents if isinstance(d.get("mapping"), str)}
        broken["mapping"] |= _names_of_broken("mapping", self.mapping_documents, mappings)
        expressions = ExpressionChecker(self.report, self.sources.texts)
        return World(
            report=self.report,
            steps=self.components.steps,
            schemas=schemas,
            endpoints=loaded,
            mappings=mappings,
            lookups=lookups,
            broken=broken,
            expressions=expressions,
            leaves=LeafChecker(self.report, expressions, everywhere),
            everywhere=everywhere,
        )

    def _check(self, world: World, flows: list[ParsedFlow], sagas: list[LoadedSaga], config: BusConfig | None) -> None:
        check_endpoints(self.endpoint_documents, world)
        check_paths(self.endpoint_documents, world, self.components.adapters)
        check_mappings(self.mapping_documents, world)
        check_flows(flows, world)
        check_controls(flows, world)
        check_test_messages(flows, world)
        check_test_replies(self.endpoint_documents, world)
        check_ordering(flows, world)
        parsed = [*flows, *check_sagas(self.saga_documents, sagas, world)]
        check_loops(parsed, world)
        if config is not None:
            check_retention(config, self.bus_document, world.endpoints.values(), self.report)
            check_encryption(config, self.bus_document, world.schemas, self.report)
        if not self.report.has_errors:  # what is broken may be what refers to the rest
            check_reach(parsed, world)
            check_sources(self.endpoint_documents, parsed, world)
            check_unused(world, self.sources.contracts)

    def config(self) -> BusConfig | None:
        if self.sources.bus is None:
            # An empty file is a bus with nothing but defaults; a missing or unreadable one has its finding.
            return BusConfig() if "esb.yaml" in self.sources.texts else None
        for written in (self.sources.bus, self.sources.overlay):  # each, for what goes before another is stored with it
            if written is not None:
                refuse_passwords(written, self.report)
        document = merged(self.sources.bus, _without_endpoints(self.sources.overlay))
        document = self._overridden(document)
        self.bus_document = document
        spot = root(document, "esb.yaml")
        resolved = self.outside.resolve(document, document.place)
        for key in SERVERS:  # also of one that has a finding
            if key in resolved:
                resolved[key] = self.outside.address(resolved[key])
        return build(BusConfig, resolved, spot, self.report)

    def _overridden(self, document: Map) -> Map:
        document = document.copy_as(lambda value, _: value)
        for variable, path in _OVERRIDES.items():
            if value := self.environ.get(variable):
                put_at(document, path, value, Place(f"${variable}"))
        return document

    def _mappings(self) -> list[LoadedMapping]:
        known = list(self.sources.lookups)
        self.mapping_documents = self._unique("mapping", self.sources.documents["mapping"])
        return [m for document in self.mapping_documents if (m := load_mapping(document, known, self.report))]

    def _endpoints(self, config: BusConfig) -> list[LoadedEndpoint]:
        documents = apply_overlay(self.sources.documents["endpoint"], self.sources.overlay, self.report)
        self.endpoint_documents = self._unique("endpoint", documents)
        loader = EndpointLoader(self.components, config, self.outside, self.report)
        return [e for document in self.endpoint_documents if (e := loader.load(document))]

    def _flows(self) -> list[ParsedFlow]:
        documents = self._unique("flow", self.sources.documents["flow"])
        return [parse_flow(document, self.components, self.report) for document in documents]

    def _sagas(self) -> list[LoadedSaga]:
        self.saga_documents = self._unique("saga", self.sources.documents["saga"])
        return [s for document in self.saga_documents if (s := load_saga(document, self.report))]

    def _unique(self, kind: str, documents: Iterable[Map]) -> list[Map]:
        """The documents without those whose name another one has already."""
        first: dict[str, Place] = {}
        kept = []
        for document in documents:
            name = document.get(kind)
            if isinstance(name, str) and name in first:
                place = first[name]
                text = f"There is another {kind} {name!r} in {place.file}:{place.line}: names are unique."
                self.report.at(root(document, place.file).at(kind), "duplicate-name", text)
                continue
            if isinstance(name, str):
                first[name] = document.values_at[kind]
            kept.append(document)
        return kept


def _names_of_broken(kind: str, documents: Iterable[Map], known: Mapping[str, Any]) -> set[str]:
    """What documents with findings would be called: by their key, and by their file where the key may be wrong."""
    broken = [d for d in documents if not isinstance(d.get(kind), str) or d[kind] not in known]
    return {str(d.get(kind)) for d in broken} | {Path(d.place.file).stem for d in broken}


def _without_endpoints(overlay: Map | None) -> Any:
    return overlay.without("endpoints") if overlay is not None else Map(Place())


def content_hash(files: Mapping[str, str]) -> str:
    """What identifies a definition: its files' names and texts, and nothing from outside."""
    digest = blake2b(digest_size=16)
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0{files[name]}".encode())
    return digest.hexdigest()


def sources_of_flows(files: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """(flow, where it starts, whether it keeps the order) for each flow in the files of a stored definition."""
    return _sources_of("flow", files)


def sources_of_sagas(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """The same for sagas."""
    return [(name, source) for name, source, _ in _sources_of("saga", files)]


def _sources_of(kind: str, files: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    found = []
    for name, text in files.items():
        if name.startswith(f"{kind}s/") and name.endswith(".yaml"):
            trees = documents(text, name, [])
            named = [t for t in trees if isinstance(t, Map) and kind in t]
            found += [(t[kind], t["from"], "ordering" in t) for t in named if isinstance(t.get("from"), str)]
    return found
