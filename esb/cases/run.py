"""Runs the cases of ``*.test.yaml`` on the real engine: formats, contracts, flows, sagas, workers, recovery."""

from __future__ import annotations

import gc
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from esb.broker.memory import MemoryBroker
from esb.broker.port import Broker
from esb.cases import outside
from esb.cases.bench import Bench, Endless
from esb.cases.coverage import Coverage
from esb.cases.files import KINDS, CaseFile, load_cases, raise_findings
from esb.cases.given import TIME, Giver, Unusable, message_of
from esb.cases.judge import judge_document, judge_error, judge_flow, judge_saga
from esb.cases.models import Case, FlowCase, FlowCases, MappingCase, SagaCase, SagaCases, arrivals
from esb.cases.played import Played
from esb.cases.switching import switch
from esb.cases.traffic import Clock, Traffic
from esb.config.definition import Definition
from esb.config.findings import Kind, Report, nearest
from esb.config.mappings import plain
from esb.errors import EsbError, MessageError
from esb.expression import Bindings, Data
from esb.flow import Parts
from esb.formats.numbers import decode_json
from esb.store.memory import MemoryStore


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


def run_cases(
    definition: Definition,
    parts: Parts,
    select: str | None = None,
    broker: Broker | None = None,
    coverage: Coverage | None = None,
) -> Iterator[CaseResult]:
    """Run every case below the definition's directory, in the order of files and lines.

    Args:
        definition: loaded.
        parts: the same, compiled.
        select: only cases where this is part of ``file:line mapping, flow or saga: name``.
        broker: carries the messages; without one they stay in memory.
        coverage: takes notes of what the cases come by.

    Raises:
        ConfigError: a file of cases has findings, or one tests what does not exist; nothing has run then.
    """
    yield from run_files(load_cases(Path(definition.root)), definition, parts, select, broker, coverage)


def run_files(
    files: Sequence[CaseFile],
    definition: Definition,
    parts: Parts,
    select: str | None = None,
    broker: Broker | None = None,
    coverage: Coverage | None = None,
) -> Iterator[CaseResult]:
    """The same for cases that were read already."""
    _refuse_unknown(files, {"flow": parts.flows, "mapping": parts.mappings, "saga": definition.sagas})
    try:
        with closing(MemoryStore()) as store:
            runner = _Runner(definition, parts, store, broker, coverage)
            for file in files:
                yield from runner.run(file, select or "")
            del runner
    finally:
        gc.collect()  # workers are cycles, and expressions that go with them must go on the thread that made them


def _refuse_unknown(files: Sequence[CaseFile], tables: Mapping[str, Mapping[str, Any]]) -> None:
    report = Report()
    for file in files:
        also: Sequence[str] = getattr(file.content, "also", ())
        for kind, name in (_tested(file), *(("flow", name) for name in also)):
            known = tables[kind]
            if name not in known:
                finding: Kind = "unknown-mapping" if kind == "mapping" else "bad-value"
                report.add(file.place, finding, f"There is no {kind} {name!r}.", value=name, hint=nearest(name, known))
    raise_findings(report, {})


def _tested(file: CaseFile) -> tuple[str, str]:
    kind = next(kind for kind in KINDS if hasattr(file.content, kind))
    return kind, getattr(file.content, kind)


class _Runner:
    def __init__(
        self,
        definition: Definition,
        parts: Parts,
        store: MemoryStore,
        broker: Broker | None,
        coverage: Coverage | None,
    ) -> None:
        self._definition = definition
        self._parts = coverage.parts if coverage else parts
        self._coverage = coverage
        self._store = store
        self._broker = broker
        self._name = f"esb.test.{secrets.token_hex(4)}"  # of this run, on a server that others use, too
        self._count = 0

    def run(self, file: CaseFile, select: str) -> Iterator[CaseResult]:
        kind, tested = _tested(file)
        cases: Sequence[Case] = file.content.cases
        pairs = zip(cases, file.lines, strict=True)
        chosen = [(case, line) for case, line in pairs if select in f"{file.file}:{line} {tested}: {case.name}"]
        if not chosen:
            return
        with closing(self._traffic()) as traffic:
            judged = self._judging(file, traffic)
            for case, line in chosen:
                started = time.perf_counter()
                problems = tuple(_problems(judged, case))
                if self._coverage:
                    self._coverage.harvest()
                seconds = time.perf_counter() - started
                yield CaseResult(
                    file=file.file, line=line, kind=kind, tested=tested, name=case.name, problems=problems,
                    seconds=seconds,
                )  # fmt: skip

    def _traffic(self) -> Traffic:
        """A place of its own for each file: what one mounts hears nothing of another."""
        clock = Clock(TIME)
        if self._broker is None:
            return Traffic(MemoryBroker(clock), clock)
        self._count += 1
        return Traffic(self._broker, clock, f"{self._name}.{self._count}.")

    def _judging(self, file: CaseFile, traffic: Traffic) -> Callable[[Any], list[str]]:
        """What runs a case of a file, and says what is different."""
        content = file.content
        if isinstance(content, FlowCases):
            bench = self._bench((content.flow, *content.also), (), traffic)
            giver = self._giver(self._parts.flows[content.flow].source, content.flow)
            player = _Player(bench, giver, content.flow)
            known = outside.operations(self._definition), "there is no operation {} to answer"
            return lambda case: judge_flow(case.expect, player.play(case, *known), content.flow)
        if isinstance(content, SagaCases):
            bench = self._bench(content.also, [content.saga], traffic)
            player = _Player(bench, self._giver(self._definition.sagas[content.saga].source))
            known = outside.calls(bench.saga(content.saga)), "the saga never calls {}"
            return lambda case: judge_saga(case.expect, self._seen(player.play(case, *known)))
        return lambda case: self._mapping(content.mapping, case)

    def _seen(self, played: Played) -> Played:
        if self._coverage:
            self._coverage.harvest(played.sagas)
        return played

    def _bench(self, flows: Sequence[str], sagas: Sequence[str], traffic: Traffic) -> Bench:
        compiled = {name: self._parts.flows[name] for name in flows}
        return Bench(self._definition, self._parts, traffic, self._store, compiled, sagas)

    def _giver(self, source: str, flow: str = "") -> Giver:
        return Giver(self._definition, self._parts.contracts.get, source, flow)

    def _mapping(self, name: str, case: MappingCase) -> list[str]:
        mapping = self._parts.mappings[name]
        message = message_of(b"", mapping.source or name, case.name, TIME)
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
            return decode_json(self._giver("").bytes_of(given["file"]))
        return plain(given)


class _Player:
    """Plays cases on a bench."""

    def __init__(self, bench: Bench, giver: Giver, flow: str = "") -> None:
        self._bench = bench
        self._giver = giver
        self._flow = flow  # the one under test

    def play(self, case: FlowCase | SagaCase, known: Set[str], unknown: str) -> Played:
        """Everything that follows. Raises ``Unusable`` where the case is wrong, ``Endless`` where it never ends.

        Args:
            case: what is given, and what is answered.
            known, unknown: what can be answered, and what is said of anything else.
        """
        wrong = outside.problems(case.answers, known, unknown)
        if wrong:
            raise Unusable("; ".join(wrong))
        bench, ids = self._bench, []
        given = arrivals(case.given)
        began = given[0].time.timestamp() if given[0].time else TIME
        beyond = outside.Outside(case.answers)
        bench.begin(beyond, began)
        for number, one in enumerate(given):
            if one.after:
                bench.wait(bench.traffic.clock.now + one.after)
            if one.switches:
                switch(one.switches, bench)
            if one.arrives:
                name = one.id or (f"{case.name} {number}" if number else case.name)
                message, outgoing = self._giver.give(one, bench, name)
                ids.append(message.id)
                bench.put(outgoing)
                if one.purged:
                    bench.purge(self._flow, one.purged)
                bench.settle()
        if given[-1].arrives:
            bench.wait()
        return bench.played(ids, began)


def _problems(judged: Callable[[Case], list[str]], case: Case) -> list[str]:
    try:
        return judged(case)
    except (Unusable, Endless) as error:
        return [str(error)]
    except EsbError as error:
        return [f"{error.kind}: {error}"]
