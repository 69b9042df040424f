"""`esb test`: the test cases beside mappings and flows, on the real engine, without a broker."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import click

from esb.cli.common import FAILED, directory, json_output, load, print_json, told

if TYPE_CHECKING:
    from esb.cases.run import CaseResult


@click.command("test")
@directory
@click.argument("path", required=False, type=click.Path(file_okay=False))
@click.option("-k", "select", metavar="TEXT", help="Only cases whose file, subject or name has this in it.")
@click.option("--junit", type=click.Path(dir_okay=False), help="Write a JUnit XML report, for continuous integration.")
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")
@json_output
@told
def command(
    root: str, env: str | None, path: str | None, select: str | None, junit: str | None, verbose: bool, as_json: bool
) -> None:
    """Run the cases of all *.test.yaml files. Exit code 1 when one fails, or when there are none."""
    from esb.cases.run import run_cases
    from esb.flow import build_parts

    definition, _ = load(path or root, env)
    began = time.perf_counter()
    results = []
    for result in run_cases(definition, build_parts(definition), select):
        results.append(result)
        if not as_json:
            _show(result, verbose)
    if as_json:
        print_json(results)
    if junit:
        _write_junit(results, Path(junit))
    _conclude(results, time.perf_counter() - began)


def _show(result: CaseResult, verbose: bool) -> None:
    if result.passed and not verbose:
        return
    word = click.style("passed", fg="green") if result.passed else click.style("FAILED", fg="red")
    click.echo(f"{word}  {result.file}:{result.line}  {result.kind} {result.tested}: {result.name}")
    for line in result.problems:
        click.echo(f"        {line}")


def _conclude(results: list[CaseResult], seconds: float) -> None:
    failed = sum(not result.passed for result in results)
    if not results:
        click.secho("error: no cases: write some into a *.test.yaml beside a mapping or flow", fg="red", err=True)
        sys.exit(FAILED)
    text = f"{len(results) - failed} passed, {failed} failed in {seconds:.2f} s"
    click.secho(text, fg="red" if failed else "green", err=True)
    if failed:
        sys.exit(FAILED)


def _write_junit(results: list[CaseResult], file: Path) -> None:
    failures = sum(not result.passed for result in results)
    suite = ElementTree.Element("testsuite", name="esb", tests=str(len(results)), failures=str(failures))
    for result in results:
        names = {"classname": f"{result.file}.{result.tested}", "name": result.name, "time": f"{result.seconds:.4f}"}
        case = ElementTree.SubElement(suite, "testcase", names)
        if not result.passed:
            ElementTree.SubElement(case, "failure", message=result.problems[0]).text = "\n".join(result.problems)
    ElementTree.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
