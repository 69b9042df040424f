"""`esb test`: the test cases beside mappings, flows and sagas, on the real engine."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import click
import msgspec

from esb.cli.common import FAILED, complain, directory, json_output, load, print_json, show_findings, told
from esb.cli.watching import Watch, heed_interrupts, of_its_cases, summary
from esb.errors import ConfigError, EsbError

if TYPE_CHECKING:
    from esb.broker.port import Broker
    from esb.cases.coverage import Covered
    from esb.cases.run import CaseResult

LONGEST = 200  # characters of what a report says of a failure in one line
WORDS = {"step": "steps", "branch": "branches", "rule": "rules"}


class Options(msgspec.Struct, frozen=True):
    """How cases are run and shown."""

    root: str
    env: str | None
    select: str | None
    broker: str
    junit: str | None
    coverage: bool
    verbose: bool
    as_json: bool


@click.command("test")
@directory
@click.argument("path", required=False, type=click.Path(file_okay=False))
@click.option("-k", "select", metavar="TEXT", help="Only cases whose file, subject or name has this in it.")
@click.option("--broker", default="memory", metavar="URL", help="memory, embedded, or amqp://… for a server.")
@click.option("--coverage", is_flag=True, help="Show which steps, branches and mapping rules no case came by.")
@click.option("--junit", type=click.Path(dir_okay=False), help="Write a JUnit XML report, for continuous integration.")
@click.option("--watch", is_flag=True, help="Run them again whenever a file changes.")
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")
@json_output
@told
def command(
    root: str,
    env: str | None,
    path: str | None,
    select: str | None,
    broker: str,
    coverage: bool,
    junit: str | None,
    watch: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the cases of all *.test.yaml files. Exit code 1 when one fails, or when there are none.

    Broker and database are in memory. With --broker the messages go through another one: embedded, or a RabbitMQ
    server, where they have queues of their own, which the server forgets afterwards.
    """
    options = Options(path or root, env, select, broker, junit, coverage, verbose, as_json)
    if watch:
        _watch(options)
    elif not _run(options):
        sys.exit(FAILED)


def _watch(options: Options) -> None:
    """Again and again, until Ctrl-C."""
    heed_interrupts()
    files = Watch(Path(options.root), lambda: of_its_cases(Path(options.root)))
    while True:
        try:
            _run(options)
        except ConfigError as error:
            show_findings(error)
        except EsbError as error:
            complain(str(error))
        changed = files.wait()
        click.secho(f"\n{summary(changed)} changed", fg="blue", err=True)


def _run(options: Options) -> bool:
    """All cases once; whether all is well."""
    from esb.cases.coverage import Coverage
    from esb.cases.run import run_cases
    from esb.flow import build_parts

    definition, _ = load(options.root, options.env)
    began = time.perf_counter()
    parts = build_parts(definition)
    coverage = Coverage(definition, parts) if options.coverage else None
    results = []
    with _broker(options.broker) as broker:
        for result in run_cases(definition, parts, options.select, broker, coverage):
            results.append(result)
            if not options.as_json:
                _show(result, options.verbose)
    covered = coverage.report() if coverage else []
    if options.junit:
        _write_junit(results, Path(options.junit))
    _report(options, results, covered)
    return _conclude(results, time.perf_counter() - began)


@contextmanager
def _broker(url: str) -> Iterator[Broker | None]:
    """None for the memory: each file of cases has a broker of its own there."""
    if url == "memory":
        yield None
        return
    from esb.broker import open_broker

    with tempfile.TemporaryDirectory(prefix="esb-test-") as place, closing(open_broker(url, place)) as broker:
        yield broker


def _show(result: CaseResult, verbose: bool) -> None:
    if result.passed and not verbose:
        return
    word = click.style("passed", fg="green") if result.passed else click.style("FAILED", fg="red")
    click.echo(f"{word}  {result.file}:{result.line}  {result.kind} {result.tested}: {result.name}")
    for line in result.problems:
        click.echo(f"        {line}")


def _report(options: Options, results: list[CaseResult], covered: list[Covered]) -> None:
    if not options.as_json:
        _show_coverage(covered)
    elif options.coverage:
        print_json({"cases": results, "coverage": [_plain(one) for one in covered]})
    else:
        print_json(results)


def _show_coverage(covered: list[Covered]) -> None:
    """How much of each file was taken, and below it what was not."""
    width = max((len(one.file) for one in covered), default=0)
    for one in covered:
        counts = ", ".join(f"{WORDS[sort]} {taken}/{whole}" for sort, (taken, whole) in one.counts.items())
        click.secho(f"{one.file.ljust(width)}  {counts}", fg="yellow" if one.missed else "green")
        for item in one.missed:
            click.echo(f"    {item.where}  {item.sort} {item.name}")


def _plain(covered: Covered) -> dict[str, Any]:
    counts = {WORDS[sort]: {"taken": taken, "all": whole} for sort, (taken, whole) in covered.counts.items()}
    missed = [{"where": item.where, "sort": item.sort, "name": item.name} for item in covered.missed]
    return {"file": covered.file, **counts, "missed": missed}


def _conclude(results: list[CaseResult], seconds: float) -> bool:
    failed = sum(not result.passed for result in results)
    if not results:
        complain("no cases: write some into a *.test.yaml beside a mapping, flow or saga")
        return False
    text = f"{len(results) - failed} passed, {failed} failed in {seconds:.2f} s"
    click.secho(text, fg="red" if failed else "green", err=True)
    return not failed


def _write_junit(results: list[CaseResult], file: Path) -> None:
    """A suite for each file of cases."""
    suites = ElementTree.Element("testsuites")
    for name in dict.fromkeys(result.file for result in results):
        own = [result for result in results if result.file == name]
        failures, seconds = sum(not one.passed for one in own), sum(one.seconds for one in own)
        counts = {"tests": str(len(own)), "failures": str(failures), "time": f"{seconds:.4f}"}
        suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **counts})
        for one in own:
            _junit_case(suite, one)
    ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def _junit_case(suite: ElementTree.Element, result: CaseResult) -> None:
    names = {"classname": f"{result.file}.{result.tested}", "name": result.name, "time": f"{result.seconds:.4f}"}
    case = ElementTree.SubElement(suite, "testcase", {"file": result.file, "line": str(result.line), **names})
    if not result.passed:
        said = " ".join(line.strip() for line in result.problems)
        ElementTree.SubElement(case, "failure", message=said[:LONGEST]).text = "\n".join(result.problems)
