"""Runs the cases of ``*.test.yaml`` on the real engine: the same formats, contracts, mappings and flows, no broker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from esb.cases.calls import Answers, unknown_answers
from esb.cases.files import KINDS, CaseFile, FlowCase, MappingCase, SagaCase, load_cases, raise_findings
from esb.cases.judge import judge, judge_document, judge_error, went_out
from esb.cases.sagas import judge_saga, play, unknown_calls
from esb.config.definition import Definition
from esb.config.findings import Kind, Report, nearest
from esb.config.mappings import plain
from esb.errors import MessageError
from esb.expression import Bindings, Data
from esb.flow import Flow, Parts, Result
from esb.formats import FORMATS
from esb.formats.numbers import decode_json
from esb.message import Message, content_id, create
from esb.worker.intake import Admitted, Intake
from esb.worker.versions import compile_sagas

TIME = datetime(2026, 1, 1, tzinfo=UTC)  # of messages that say none: cases give the same every day
TRACE = f"00-{1:032x}-{1:016x}-01"


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one case went. ``problems`` are lines for a person; empty when it passed. ``seconds`` it took."""

    file: str
    line: int
    kind: str  # "mapping", "flow" or "saga"
    tested: str  # the name of that
    name: str
    problems: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.problems


def run_cases(definition: Definition, parts: Parts, select: str | None = None) -> Iterator[CaseResult]:
    """Run every case below the definition's directory, in the order of files and lines.

    Args:
        definition: loaded.
        parts: the same, compiled.
        select: only cases where this is part of ``file:line mapping, flow or saga: name``.

    Raises:
        ConfigError: a file of cases has findings, or one tests what does not exist; nothing has run then.
    """
    files = load_cases(Path(definition.root))
    _refuse_unknown(files, {"flow": parts.flows, "mapping": parts.mappings, "saga": definition.sagas})
    runner = _Runner(definition, parts)
    for file in files:
        yield from runner.run(file, select or "")


def _refuse_unknown(files: Sequence[CaseFile], tables: Mapping[str, Mapping[str, Any]]) -> None:
    report = Report()
    for file in files:
        kind, name = _tested(file)
        known = tables[kind]
        if name not in known:
            finding: Kind = "unknown-mapping" if kind == "mapping" else "bad-value"
            report.add(file.place, finding, f"There is no {kind} {name!r}.", value=name, hint=nearest(name, known))
    raise_findings(report, {})


def _tested(file: CaseFile) -> tuple[str, str]:
    kind = next(kind for kind in KINDS if hasattr(file.content, kind))
    return kind, getattr(file.content, kind)


class _Runner:
    def __init__(self, definition: Definition, parts: Parts) -> None:
        self._definition = definition
        self._parts = parts
        self._sagas = compile_sagas(definition, parts)

    def run(self, file: CaseFile, select: str) -> Iterator[CaseResult]:
        kind, tested = _tested(file)
        cases: Sequence[FlowCase | MappingCase | SagaCase] = file.content.cases
        for case, line in zip(cases, file.lines, strict=True):
            if select not in f"{file.file}:{line} {tested}: {case.name}":
                continue
            started = time.perf_counter()
            try:
                problems = self._problems(tested, case)
            except (MessageError, _Unusable) as error:
                problems = [str(error)]
            seconds = time.perf_counter() - started
            yield CaseResult(
                file=file.file,
                line=line,
                kind=kind,
                tested=tested,
                name=case.name,
                problems=tuple(problems),
                seconds=seconds,
            )

    def _problems(self, tested: str, case: FlowCase | MappingCase | SagaCase) -> list[str]:
        if isinstance(case, SagaCase):
            return self._saga(tested, case)
        return self._flow(tested, case) if isinstance(case, FlowCase) else self._mapping(tested, case)

    def _saga(self, name: str, case: SagaCase) -> list[str]:
        saga = self._sagas[name]
        arrivals = self._arrivals(self._definition.sagas[name].source, case)
        if len(arrivals) != 1 or arrivals[0].error is not None:
            raise _Unusable(
                f"one message starts a saga; given are {len(arrivals)}"
                + (f": {arrivals[0].error}" if arrivals and arrivals[0].error else "")
            )
        problems = unknown_calls(saga, case)
        return problems or judge_saga(case.expect, play(saga, arrivals[0].message, case), went_out)

    def _mapping(self, name: str, case: MappingCase) -> list[str]:
        mapping = self._parts.mappings[name]
        message = _message(b"", mapping.source or name, case.name)
        given = self._document(case.given)
        try:
            made = mapping.apply(Data(given), Bindings(message))
            if mapping.target:
                self._parts.contracts[mapping.target].check(made)
        except MessageError as error:
            return judge_error(case.error, error)
        return judge_document(case, made)

    def _document(self, given: Any) -> Any:
        if isinstance(given, dict) and set(given) == {"file"} and isinstance(given["file"], str):
            return decode_json(self._bytes(given["file"]))
        return plain(given)

    def _bytes(self, name: str) -> bytes:
        root = Path(self._definition.root).resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise _Unusable(f"the file {name} lies outside the bus directory: move it inside")
        try:
            return path.read_bytes()
        except OSError as error:
            raise _Unusable(
                f"the file {name} cannot be read ({error.strerror}): give its path from the bus directory"
            ) from None

    def _flow(self, name: str, case: FlowCase) -> list[str]:
        flow = self._parts.flows[name]
        unknown = unknown_answers(case, self._definition)
        if unknown:
            return unknown
        answers = Answers(case, self._definition, self._parts.contracts)
        results = [self._result(flow, admitted, answers) for admitted in self._arrivals(flow.source, case)]
        return judge(case.expect, _together(results))

    def _result(self, flow: Flow, admitted: Admitted, answers: Answers) -> Result:
        if admitted.error is not None:
            return Result(status="failed", error=admitted.error, step=f"in:{admitted.message.source}")
        return answers.play(flow, admitted.message.id, flow.run(admitted.message))

    def _arrivals(self, source: str, case: FlowCase | SagaCase) -> list[Admitted]:
        given = case.given
        if given.through is not None:
            return self._through(given.through, self._bytes(str(given.file)), case)
        body = self._bytes(given.file) if given.file else msgspec.json.encode(plain(given.document))
        ref = self._received(source) or source
        message = _message(body, ref, case.name, given.time or TIME, subject=given.subject, headers=given.headers)
        contract = self._parts.contracts.get(ref)
        if message.subject is None and contract is not None:
            message = msgspec.structs.replace(message, subject=_subject(contract, body))
        return [Admitted(message)]

    def _received(self, source: str) -> str | None:
        endpoint = self._definition.endpoints.get(source)
        return endpoint.receive.common.contract if endpoint and endpoint.receive else None

    def _through(self, name: str, body: bytes, case: FlowCase | SagaCase) -> list[Admitted]:
        endpoint = self._definition.endpoints.get(name)
        if endpoint is None or endpoint.receive is None:
            raise _Unusable(f"nothing comes in through {name!r}: name an endpoint with receive")
        format = FORMATS[endpoint.format](endpoint.format_settings)
        intake = Intake(endpoint, format, self._parts.contracts.get(endpoint.receive.common.contract or ""))
        given = case.given
        more: dict[str, Any] = {"headers": given.headers} | ({"subject": given.subject} if given.subject else {})
        moment = (given.time or TIME).timestamp()
        return intake.admit_bytes(body, format.content_type, id=_id(case.name), time=moment, **more)


class _Unusable(Exception):  # noqa: N818 - a case that cannot run is a case that fails, with this sentence
    """The case itself is wrong."""


def _id(name: str) -> str:
    return content_id("case", name, when=TIME.timestamp())


def _message(body: bytes, ref: str, name: str, time: datetime = TIME, **more: Any) -> Message:
    type, _, version = ref.partition("/v")
    return create(
        body,
        id=_id(name),
        type=type,
        version=int(version or 0),
        source="test",
        time=time.timestamp(),
        traceparent=TRACE,
        **more,
    )


def _subject(contract: Any, body: bytes) -> str | None:
    try:
        return contract.subject(decode_json(body))
    except MessageError:
        return None  # the flow will say what is wrong with the document


def _together(results: Sequence[Result]) -> Result:
    """One file can hold several messages: what follows from all of them, in order; the worst status counts."""
    if len(results) == 1:
        return results[0]
    failed = next((result for result in results if result.status == "failed"), None)
    found = {result.status for result in results}
    status: Literal["completed", "filtered", "failed", "waiting"]
    status = "failed" if failed else "waiting" if "waiting" in found else "filtered"
    if status == "filtered" and "completed" in found:
        status = "completed"
    return Result(
        status=status,
        sends=tuple(send for result in results for send in result.sends),
        calls=tuple(call for result in results for call in result.calls),
        events=tuple(event for result in results for event in result.events),
        children=tuple(child for result in results for child in result.children),
        error=failed.error if failed else None,
        step=failed.step if failed else "",
    )
