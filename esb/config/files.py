"""A bus directory on disk: which files there are, their text, their documents. Nothing is interpreted here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from esb.config.findings import Report, nearest
from esb.config.tree import Map, Place
from esb.config.yaml import documents

MAX_YAML = 1024 * 1024
MAX_CONTRACT = 4 * 1024 * 1024
MAX_LOOKUP = 32 * 1024 * 1024
KINDS = {"endpoints": "endpoint", "flows": "flow", "sagas": "saga", "mappings": "mapping"}


class Sources(msgspec.Struct):
    """What lies in a bus directory. File names are relative, with ``/``."""

    root: Path
    texts: dict[str, str] = {}
    bus: Map | None = None
    overlay: Map | None = None
    documents: dict[str, list[Map]] = {}  # "endpoint" -> documents, in the order of their files
    contracts: dict[str, str] = {}  # file -> text
    lookups: dict[str, str] = {}
    broken: dict[str, set[str]] = {}  # names that a file which cannot be read would have defined


def read_directory(root: Path, env: str | None, report: Report) -> Sources:
    """Read every file that a bus directory may have; ``*.test.yaml`` is left out.

    Args:
        root: the directory.
        env: reads ``esb.<env>.yaml`` too.
        report: takes what cannot be read.
    """
    sources = Sources(root, documents={kind: [] for kind in KINDS.values()}, broken={k: set() for k in KINDS.values()})
    sources.bus = _only_document(sources, "esb.yaml", report)
    if env is not None:
        sources.overlay = _overlay(sources, env, report)
    for folder, kind in KINDS.items():
        for name in _listed(root, folder, "*.yaml"):
            if not name.endswith(".test.yaml"):
                sources.documents[kind].extend(_documents(sources, name, kind, report))
    _read_all(sources, "contracts", "*/*.json", MAX_CONTRACT, sources.contracts, report)
    _read_all(sources, "lookups", "*.csv", MAX_LOOKUP, sources.lookups, report)
    _warn_of_ignored(root, report)
    return sources


def read_stored(root: Path, texts: Mapping[str, str], report: Report) -> Sources:
    """The same from the texts that a store kept, which hold the overlay of their environment if there was one."""
    sources = Sources(root, texts=dict(texts), documents={kind: [] for kind in KINDS.values()})
    sources.broken = {kind: set() for kind in KINDS.values()}
    for name, text in texts.items():
        kind = KINDS.get(name.partition("/")[0])
        if kind:
            sources.documents[kind].extend(tree for tree in _trees(text, name, report) if isinstance(tree, Map))
        elif "/" not in name:
            found = next((tree for tree in _trees(text, name, report) if isinstance(tree, Map)), None)
            sources.bus, sources.overlay = (found, sources.overlay) if name == "esb.yaml" else (sources.bus, found)
    sources.contracts = {name: text for name, text in texts.items() if name.startswith("contracts/")}
    sources.lookups = {name: text for name, text in texts.items() if name.startswith("lookups/")}
    return sources


def _listed(root: Path, folder: str, pattern: str) -> list[str]:
    files = (root / folder).glob(pattern)
    return sorted(f.relative_to(root).as_posix() for f in files if f.is_file() and not f.name.startswith("."))


def _read_all(sources: Sources, folder: str, pattern: str, cap: int, into: dict[str, str], report: Report) -> None:
    for name in _listed(sources.root, folder, pattern):
        text = _text(sources, name, cap, report)
        if text is not None:
            into[name] = text


def _text(sources: Sources, name: str, cap: int, report: Report) -> str | None:
    """A file's text, or None and a finding."""
    try:
        with open(sources.root / name, "rb") as file:
            raw = file.read(cap + 1)
    except OSError as error:
        report.add(Place(name), "unreadable-file", f"This file cannot be read: {error.strerror}.")
        return None
    if len(raw) > cap:
        report.add(Place(name), "unreadable-file", f"This file is larger than {cap // 1024} KB; split it.")
        return None
    try:
        sources.texts[name] = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = Place(name, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        report.add(place, "unreadable-file", f"The byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8.")
        return None
    return sources.texts[name]


def _documents(sources: Sources, name: str, kind: str, report: Report) -> Iterator[Map]:
    text = _text(sources, name, MAX_YAML, report)
    before = len(report.findings)
    for document in _trees(text or "", name, report):
        if isinstance(document, Map):
            yield document
        elif document is not None:
            place = getattr(document, "place", Place(name))
            report.add(place, "wrong-type", f"A document here begins with '{kind}: <name>'.")
    failed = any(f.kind in ("yaml-syntax", "mangled-expression") for f in report.findings[before:])
    if text is None or failed:
        sources.broken[kind].update(_salvaged(name, text or "", kind))


def _trees(text: str, name: str, report: Report) -> list[Any]:
    findings: list[Any] = []
    trees = documents(text, name, findings)
    report.extend(findings)
    return trees


def _salvaged(name: str, text: str, kind: str) -> set[str]:
    # So that one unreadable file does not make every reference to its contents a finding too.
    found = re.findall(rf"^{kind}:\s*([\w-]+)", text, re.MULTILINE)
    return {*found, Path(name).stem}


def _only_document(sources: Sources, name: str, report: Report) -> Map | None:
    if not (sources.root / name).is_file():
        if name == "esb.yaml":
            advice = "There is no esb.yaml, so this is no bus directory: 'esb init' makes one."
            report.add(Place(name), "missing-file", advice)
        return None
    text = _text(sources, name, MAX_YAML, report)
    if text is None:
        return None
    found = _trees(text, name, report)
    if len(found) > 1:
        report.add(
            getattr(found[1], "place", Place(name)), "yaml-trap", f"{name} holds one document: remove the '---'."
        )
    if found and found[0] is not None and not isinstance(found[0], Map):
        report.add(getattr(found[0], "place", Place(name)), "wrong-type", f"{name} is a mapping (key: value).")
    return found[0] if found and isinstance(found[0], Map) else None


def _overlay(sources: Sources, env: str, report: Report) -> Map | None:
    known = [f.name[4:-5] for f in sources.root.glob("esb.*.yaml")]
    if env not in known:
        there = f"There are {', '.join(sorted(known))}." if known else "There is none yet."
        text = f"There is no esb.{env}.yaml for the environment {env!r}. {there}"
        report.add(Place("esb.yaml"), "missing-file", text, value=env, hint=nearest(env, known))
        return None
    return _only_document(sources, f"esb.{env}.yaml", report)


def _warn_of_ignored(root: Path, report: Report) -> None:
    """What somebody wrote for the bus, and nobody reads."""
    for folder, kind in KINDS.items():
        for name in _listed(root, folder, "*.yml"):
            _ignored(name, "Only *.yaml is read, so this file does nothing: rename it.", report)
        for name in (*_listed(root, folder, "*/**/*.yaml"), *_listed(root, folder, "*/**/*.yml")):
            if not name.endswith(".test.yaml"):
                _ignored(name, f"Only what lies in {folder}/ itself is read: move it there.", report)
        for name in _listed(root, ".", "*.yaml"):
            if not name.startswith("esb.") and _begins_with(root / name, kind):
                _ignored(name, f"What begins with '{kind}:' is read in {folder}/ only: move it there.", report)
    for name in _listed(root, "contracts", "**/*.json"):
        if name.count("/") != 2:
            _ignored(name, "A contract lies at contracts/<type>/v<version>.json: move it there.", report)


def _ignored(name: str, text: str, report: Report) -> None:
    report.add(Place(name), "unused", text, level="warning")


def _begins_with(path: Path, kind: str) -> bool:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return re.search(rf"^{kind}:", file.read(MAX_YAML), re.MULTILINE) is not None
    except OSError:
        return False


def merged(base: Any, over: Any) -> Any:
    """``over`` laid on ``base``: mappings are merged key by key, everything else is replaced."""
    if not (isinstance(base, Map) and isinstance(over, Map)):
        return over
    result = base.copy_as(lambda value, _: value)
    for key, value in over.items():
        result.put(key, merged(base.get(key), value), over.keys_at[key], over.values_at[key])
        if key in base and isinstance(result[key], Map) and isinstance(base[key], Map):
            result.keys_at[key], result.values_at[key] = base.keys_at[key], base.values_at[key]
    return result
