"""Test cases in YAML, ``*.test.yaml`` beside mappings, flows and sagas: their models, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from pydantic import AwareDatetime, Field, model_validator

from esb.config.findings import Finding, Report, format_findings, in_order
from esb.config.models import Name
from esb.config.tree import Map, Place, root
from esb.config.validate import build
from esb.config.yaml import documents
from esb.errors import ConfigError
from esb.ports import Settings

LARGEST = 4 * 1024 * 1024  # bytes of a file with cases


class MappingFailure(Settings):
    """How a mapping fails. What is not said is not looked at."""

    leaf: str | None = Field(None, description="Path of the leaf in the target, such as lines[1].sku.")
    kind: str | None = Field(None, description="mapping, or contract when the result breaks the target contract.")
    contains: str | None = Field(None, description="A piece of the error's text.")


class MappingCase(Settings):
    """One document in, one out: ``expect`` all of it, ``expect_partial`` what is named, or an ``error``."""

    name: str = Field(description="What the case shows, in a sentence.")
    given: Any = Field(description="The document, or {file: path} with JSON, from the bus directory.")
    expect: Any = Field(None, description="The whole result.")
    expect_partial: Any = Field(None, description="The fields named here; others are not looked at.")
    error: MappingFailure | None = Field(None, description="How it fails.")

    @model_validator(mode="after")
    def _one_expectation(self) -> MappingCase:
        if len(self.model_fields_set & {"expect", "expect_partial", "error"}) != 1:
            raise ValueError("a case needs one of expect, expect_partial and error")
        return self


class MappingCases(Settings):
    """A file of cases for a mapping."""

    mapping: Name = Field(description="The mapping under test.")
    cases: tuple[MappingCase, ...] = Field(min_length=1, description="The cases, in order.")


class Given(Settings):
    """What arrives: a document, or a file read as JSON or ``through`` an endpoint's format and records."""

    document: Any = Field(None, description="The document that arrives.")
    file: str | None = Field(None, description="Path from the bus directory.")
    through: Name | None = Field(None, description="The endpoint that reads the file's bytes.")
    headers: dict[str, str] = Field(default_factory=dict, description="Application headers of the message.")
    subject: str | None = Field(None, description="The business key; by default what the contract's x-subject gives.")
    time: AwareDatetime | None = Field(None, description="The message's time; 2026-01-01T00:00:00Z when not said.")

    @model_validator(mode="after")
    def _one_source(self) -> Given:
        if ("document" in self.model_fields_set) == (self.file is not None):
            raise ValueError("a case is given either a document or a file")
        if self.through and not self.file:
            raise ValueError("only a file is read through an endpoint")
        return self


class Expected(Settings):
    """A document that went out: all of it, or what is named."""

    document: Any = Field(None, description="The whole document.")
    partial: Any = Field(None, description="The fields named here; others are not looked at.")

    @model_validator(mode="after")
    def _one_form(self) -> Expected:
        if {"document", "partial"} <= self.model_fields_set:
            raise ValueError("expect the document or a part of it, not both")
        return self


class ExpectedSend(Expected):
    """A command to an endpoint."""

    to: str = Field(description="endpoint.operation, or the endpoint alone.")


class ExpectedEvent(Expected):
    """A published event."""

    event: str = Field(description="The event's type and version.")


class FlowFailure(Settings):
    """How a flow, or a part of a split, fails. What is not said is not looked at."""

    step: str | None = Field(None, description="Name of the step, or in:<endpoint> for what does not come in.")
    kind: str | None = Field(None, description="contract, mapping, expression, decode …")
    contains: str | None = Field(None, description="A piece of the error's text.")


class Outcome(Settings):
    """What follows from the given. Lists are complete and in order; one that is not there is not looked at."""

    sends: tuple[ExpectedSend, ...] | None = Field(None, description="Commands to endpoints.")
    calls: tuple[ExpectedSend, ...] | None = Field(None, description="Calls: what is asked.")
    publishes: tuple[ExpectedEvent, ...] | None = Field(None, description="Events.")
    status: Literal["completed", "filtered", "failed", "waiting"] | None = Field(
        None, description="completed when not said, or failed where an error is expected."
    )
    error: FlowFailure | None = Field(None, description="How the message fails.")
    failed_parts: tuple[FlowFailure, ...] = Field((), description="Parts of a split that fail by themselves.")


class CallAnswer(Settings):
    """What one call answers: a document, or a failure by its kind."""

    done: Any = Field(None, description="The document of an answer.")
    failed: str | None = Field(None, description="The kind of a failure: refused, contract, unreachable, interrupted …")

    @model_validator(mode="after")
    def _one(self) -> CallAnswer:
        if len(self.model_fields_set) != 1:
            raise ValueError("an answer is either done or failed")
        return self


OneAnswer = Literal["nothing"] | CallAnswer


class FlowCase(Settings):
    """One message in, everything that goes out."""

    name: str = Field(description="What the case shows, in a sentence.")
    given: Given = Field(description="What arrives.")
    answers: dict[str, OneAnswer | tuple[OneAnswer, ...]] = Field(
        default_factory=dict,
        description="By endpoint.operation: {done: document}, {failed: kind}, nothing, or a list of such, one a call.",
    )
    expect: Outcome = Field(description="What follows from it.")


class FlowCases(Settings):
    """A file of cases for a flow."""

    flow: Name = Field(description="The flow under test.")
    cases: tuple[FlowCase, ...] = Field(min_length=1, description="The cases, in order.")


class SagaOutcome(Settings):
    """How the saga stands when nothing more happens by itself. Lists are complete and in order."""

    status: Literal["completed", "compensated", "stuck", "running"] = Field(description="Its state.")
    step: str | None = Field(None, description="The step at which it is stuck.")
    calls: tuple[ExpectedSend, ...] | None = Field(None, description="Every call, compensations among them.")
    publishes: tuple[ExpectedEvent, ...] | None = Field(None, description="Events.")
    contains: str | None = Field(None, description="A piece of the reason why it turned back or is stuck.")


class SagaCase(Settings):
    """One trigger, and what follows from it."""

    name: str = Field(description="What the case shows, in a sentence.")
    given: Given = Field(description="What starts the saga.")
    answers: dict[str, OneAnswer | tuple[OneAnswer, ...]] = Field(
        default_factory=dict,
        description="By endpoint.operation: {done: document}, {failed: kind}, nothing, or a list of such, one a call.",
    )
    expect: SagaOutcome = Field(description="What follows from it.")


class SagaCases(Settings):
    """A file of cases for a saga."""

    saga: Name = Field(description="The saga under test.")
    cases: tuple[SagaCase, ...] = Field(min_length=1, description="The cases, in order.")


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
    text = _text(path, name, report)
    findings: list[Finding] = []
    sources[name] = text
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
