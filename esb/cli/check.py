"""`esb check`: every finding of a bus directory, at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, bus_directory, counted, directory, json_output, print_json, told

if TYPE_CHECKING:
    from esb.config import Definition


@click.command("check")
@directory
@click.argument("path", required=False, type=click.Path(file_okay=False))
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@json_output
@told
def command(root: str, env: str | None, path: str | None, strict: bool, as_json: bool) -> None:
    """Check all files: keys, types, references, expressions, contracts. Exit code 1 when there are errors."""
    from esb.config import format_findings, inspect
    from esb.discovery import discover

    place = Path(path or root)
    checked = inspect(place if as_json else bus_directory(place), discover(), env)
    errors = sum(finding.level == "error" for finding in checked.findings)
    warnings = len(checked.findings) - errors
    if as_json:
        print_json(checked.findings)
    elif checked.findings:
        click.echo(format_findings(checked.findings, checked.sources))
    click.secho(_verdict(checked.definition, errors, warnings), fg="red" if errors else "green", err=True)
    if errors or (strict and warnings):
        sys.exit(FAILED)


def _verdict(d: Definition | None, errors: int, warnings: int) -> str:
    if d is None or errors or warnings:
        return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    sizes = [
        (len(d.endpoints), "endpoint"),
        (len(d.flows), "flow"),
        (len(d.mappings), "mapping"),
        (len(d.contracts), "contract"),
    ]
    if d.sagas:
        sizes.insert(2, (len(d.sagas), "saga"))
    return "no findings: " + ", ".join(counted(*size) for size in sizes)
