"""`esb contracts`: what documents must look like, who uses it, and whether one meets it."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

import click

from esb.cli.common import FAILED, counted, directory, json_output, load, print_json, print_table, told, unknown
from esb.cli.listing import Listing

if TYPE_CHECKING:
    from esb.worker.trial import Trial


@click.group("contracts", cls=Listing)
def command() -> None:
    """List contracts, show one as a tree, or check a document against one."""


@command.command("list")
@directory
@json_output
@told
def list_(root: str, env: str | None, as_json: bool) -> None:
    """List contracts with who uses them."""
    from esb.flow.usage import contract_uses

    definition, _ = load(root, env)
    uses = contract_uses(definition)
    if as_json:
        print_json([{"contract": ref, "uses": uses.get(ref, [])} for ref in sorted(definition.contracts)])
        return
    rows = [(ref, ", ".join(map(str, uses.get(ref, [])))) for ref in sorted(definition.contracts)]
    print_table(("contract", "used by"), rows, shrink=(("used by", 20),))


@command.command("show")
@directory
@click.argument("contract")
@json_output
@told
def show(root: str, env: str | None, contract: str, as_json: bool) -> None:
    """Show the fields of a CONTRACT such as order/v1; with --json the schema itself."""
    from esb.admin.shape import fields_of
    from esb.masking import KEYWORD

    definition, _ = load(root, env)
    if contract not in definition.contracts:
        unknown("contract", contract, definition.contracts)
    schema = definition.contracts[contract]
    if as_json:
        print_json(schema)
        return
    rows = []
    for field in fields_of(schema, tuple(schema.get(KEYWORD, ()))):
        words = [word for word, holds in (("required", field.required), ("masked", field.masked)) if holds]
        name = f"{'  ' * field.depth}{field.name}"
        rows.append((name, field.ref or field.type, " ".join(words), field.rules, field.text))
    print_table(("field", "type", "", "rules", "meaning"), rows, shrink=(("meaning", 10), ("rules", 10)))


@command.command("validate")
@directory
@click.argument("contract")
@click.argument("document", type=click.File("rb"))
@json_output
@told
def validate(root: str, env: str | None, contract: str, document: IO[bytes], as_json: bool) -> None:
    """Check a DOCUMENT (a file with JSON, or - for standard input) against a CONTRACT."""
    from esb.worker.trial import Laboratory

    definition, _ = load(root, env)
    if contract not in definition.contracts:
        unknown("contract", contract, definition.contracts)
    report(Laboratory().contract(definition, contract, document.read()), as_json)


def report(trial: Trial, as_json: bool) -> None:
    """What came of a trial: violations on stderr, exit code 1 when it failed."""
    if as_json:
        print_json({"ok": trial.ok, "kind": trial.kind, "error": trial.error, "violations": trial.violations})
    elif trial.violations:
        click.secho(f"breaks {trial.broken}: {counted(len(trial.violations), 'violation')}", fg="red", err=True)
        for pointer, sentence in trial.violations:
            click.echo(f"  {pointer or 'document'}: {sentence}", err=True)
    else:
        click.secho("ok" if trial.ok else trial.error, fg="green" if trial.ok else "red", err=True)
    if not trial.ok:
        sys.exit(FAILED)
