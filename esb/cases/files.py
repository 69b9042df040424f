"""Test cases in YAML, ``*.test.yaml`` beside mappings, flows and sagas: how they are found and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from esb.cases.models import FlowCases, MappingCases, SagaCases
from esb.config.findings import Finding, Report, format_findings, in_order
from esb.config.tree import Map, Place, root
from esb.config.validate import build
from esb.config.yaml import documents
from esb.errors import ConfigError
from esb.ports import Settings

LARGEST = 4 * 1024 * 1024  # bytes of a file with cases


class CaseFile(msgspec.Struct, frozen=True):
    """The cases of one document, and the line of each."""

    file: str
    place: Place
    content: MappingCases | FlowCases | SagaCases
    lines: tuple[int, ...]


KINDS: Mapping[str, type[Settings]] = MappingProxyType({"flow": FlowCases, "mapping": MappingCases, "saga": SagaCases})


def load_cases(directory: Path) -> tuple[CaseFile, ...]:
    """Every ``*.test.yaml`` below a bus directory. Raises ``ConfigError`` with all findings."""
    report = Report()
    sources: dict[str, str] = {}
    found = [case for path in _files(directory) for case in _read(path, directory, sources, report)]
    raise_findings(report, sources)
    return tuple(found)


def read_cases(text: str, name: str) -> tuple[CaseFile, ...]:
    """The cases in a text that could be the file ``name``. Raises as :func:`load_cases`."""
    report = Report()
    found = tuple(_cases(text, name, report))
    raise_findings(report, {name: text})
    return found


def raise_findings(report: Report, sources: dict[str, str]) -> None:
    """Raise ``ConfigError`` when there is anything to report."""
    if report.findings:
        findings = in_order(report.findings)
        raise ConfigError(format_findings(findings, sources), findings)


def _files(directory: Path) -> list[Path]:
    found = (path for path in directory.rglob("*.test.yaml") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(directory).parts))


def _read(path: Path, directory: Path, sources: dict[str, str], report: Report) -> Iterator[CaseFile]:
    name = path.relative_to(directory).as_posix()
    sources[name] = _text(path, name, report)
    yield from _cases(sources[name], name, report)


def _cases(text: str, name: str, report: Report) -> Iterator[CaseFile]:
    findings: list[Finding] = []
    for document in documents(text, name, findings):
        yield from _document(document, name, report)
    report.extend(findings)


def _text(path: Path, name: str, report: Report) -> str:
    try:
        if path.stat().st_size > LARGEST:
            report.add(Place(name), "unreadable-file", f"This file is larger than {LARGEST // 1024} KB; split it.")
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        report.add(Place(name), "unreadable-file", f"This file cannot be read: {error}.")
        return ""


def _document(document: Any, file: str, report: Report) -> Iterator[CaseFile]:
    if not isinstance(document, Map) or document.keys().isdisjoint(KINDS):
        place = document.place if isinstance(document, Map) else Place(file)
        report.add(
            place, "missing-key", "A file of cases says what it tests: mapping: name, flow: name, or saga: name."
        )
        return
    spot = root(document, file)
    model = next(model for kind, model in KINDS.items() if kind in document)
    content: Any = build(model, document, spot, report)
    if content is not None:
        cases = spot.at("cases")
        lines = tuple(cases.at(number).place.line for number in range(len(content.cases)))
        yield CaseFile(file, document.place, content, lines)
