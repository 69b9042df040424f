"""`esb conformance`: the official test suites, run through the classes that the bus uses."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, json_output, print_json, told, unknown

if TYPE_CHECKING:
    from esb.conformance import Verdict


@click.group("conformance")
def command() -> None:
    """Run the official test suite of JSONata or of JSON Schema, from a directory that you have it in."""


def shared(act: click.decorators.FC) -> click.decorators.FC:
    """What both suites are asked with."""
    least = click.option("--least", type=int, metavar="N", help="Succeed when so many pass; default: all.")
    place = click.argument("directory", type=click.Path(file_okay=False, exists=True))
    return place(least(act))


@command.command("jsonata")
@shared
@click.option("--engine", "name", default="jsonatapy", metavar="NAME", help="jsonatapy (default) or jsonata-python.")
@json_output
@told
def jsonata(directory: str, least: int | None, name: str, as_json: bool) -> None:
    """Run the suite in DIRECTORY, test/test-suite of jsonata-js/jsonata, on one of the two engines.

    A case that tells null from nothing passes either way, for the bus does not. Where the bus would compute an
    expression without its engine, that has to give the same.
    """
    from esb.conformance import jsonata as run
    from esb.expression_engine import ENGINES

    if name not in ENGINES:
        unknown("engine", name, ENGINES)
    _report(run(Path(directory), ENGINES[name]), least, as_json)


@command.command("json-schema")
@shared
@json_output
@told
def json_schema(directory: str, least: int | None, as_json: bool) -> None:
    """Run the required cases of draft 2020-12 in DIRECTORY, the JSON-Schema-Test-Suite, through contracts."""
    from esb.conformance import json_schema as run

    _report(run(Path(directory)), least, as_json)


def _report(verdicts: Iterable[Verdict], least: int | None, as_json: bool) -> None:
    """What failed, and how many passed."""
    found = list(verdicts)
    failed = [verdict for verdict in found if not verdict.passed]
    passed = len(found) - len(failed)
    if as_json:
        print_json({"cases": len(found), "passed": passed, "failed": failed})
    else:
        for verdict in failed:
            click.echo(f"{verdict.name}: {verdict.problem}")
    well = bool(found) and passed >= (len(found) if least is None else least)
    click.secho(f"{passed} of {len(found)} pass", fg="green" if well else "red", err=True)
    if not well:
        sys.exit(FAILED)
